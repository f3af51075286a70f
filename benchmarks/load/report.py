"""Markdown tables, and above them what they were measured with."""

import math
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from load.server import CLIENT_CORE, SERVER_CORES

_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "numpy", "onnxruntime", "faiss-cpu")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")


def print_head(title: str, lines: Iterable[str], *, packages: Sequence[str] = ()) -> None:
    """Title, protocol, machine and versions."""
    print(f"### {title}\n")
    for line in [*lines, _machine(), _versions([*_PACKAGES, *packages])]:
        print(f"- {line}")
    print(flush=True)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers are told to three digits."""
    print_begin(head)
    for row in rows:
        print_row(row)
    print(flush=True)


def print_begin(head: Sequence[str]) -> None:
    """The head of a table whose rows come one by one."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head), flush=True)


def print_row(row: Sequence[object]) -> None:
    """One row."""
    print("| " + " | ".join(map(cell, row)) + " |", flush=True)


def cell(value: object) -> str:
    """One cell of a table."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """The median, and in brackets the least and the most."""
    ordered = sorted(values)
    middle = cell(ordered[len(ordered) // 2])
    return middle if len(ordered) == 1 else f"{middle} ({cell(ordered[0])} to {cell(ordered[-1])})"


def codes_text(codes: dict[str, int]) -> str:
    """How many requests ended in which way."""
    return ", ".join(f"{name}: {count}" for name, count in codes.items())


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text("utf-8")
    fields = dict(line.split(":", 1) for line in info.split("\n\n", 1)[0].splitlines() if ":" in line)
    by_name = {name.strip(): value.strip() for name, value in fields.items()}
    there = set(by_name.get("flags", "").split())
    flags = ", ".join(flag for flag in _FLAGS if flag in there) or "none of " + ", ".join(_FLAGS)
    load = os.getloadavg()[0]
    return (
        f"{by_name.get('model name', platform.machine())} ({flags}), {os.cpu_count()} cores: server on "
        f"{', '.join(map(str, SERVER_CORES))}, client on {CLIENT_CORE}, OMP_NUM_THREADS=1; load average before the "
        f"run {load:.1f}; Linux {platform.release().split('-')[0]}"
    )


def _versions(packages: Sequence[str]) -> str:
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in packages)])
