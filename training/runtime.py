"""The process that trains: its threads, and how glibc hands memory back."""

import ctypes
import os
import sys

import torch

from recsvc.errors import ConfigError
from training.config import RuntimeConfig
from training.distributed import local_processes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def prepare_process(config: RuntimeConfig) -> None:
    """Set the thread count and, on glibc, keep freed memory in the process.

    By default glibc maps every large tensor anew and returns it at once, so that each allocation faults its
    pages in again; memory-bound operations run up to three times faster without. Memory is then not returned
    until the process ends, so this is for training, never for the service.

    Raises:
        ConfigError: the accelerator that is asked for is not there.
    """
    if config.accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError("runtime.accelerator is cuda, and PyTorch finds no such device here; set it to auto or cpu")
    torch.set_num_threads(config.threads or max(1, available_cores() // local_processes()))
    torch.set_flush_denormal(True)
    if config.keep_memory and sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version"):
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(_M_TOP_PAD, 2**26)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
