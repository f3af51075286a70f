"""What a run was made with: the machine and the packages, as far as they can change a figure."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = (
    "recsvc",
    "faiss-cpu",
    "gensim",
    "lightning-fabric",
    "llvmlite",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "polars",
    "pyarrow",
    "pydantic",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)


def environment() -> dict[str, Any]:
    """Python, the machine, and the versions of the packages that compute; nothing that names a person or a host."""
    import torch  # runs are listed without it

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _processor() -> str:
    """The model of the processor, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
