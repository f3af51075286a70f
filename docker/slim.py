"""Makes the service's environment small: no tests and sources of packages, and bytecode of what it imports alone.

Bytecode of every module would be a tenth of the image; with none, each start of a container whose file system is
read-only would compile everything anew.
"""

import importlib
import pkgutil
import shutil
import sysconfig
from pathlib import Path

_PACKAGES = Path(sysconfig.get_path("purelib"))
# What serves training and testing alone.
_FOLDERS = ("onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools", "onnxruntime/transformers")
# The engine once more, for programs in C; the module for Python holds its own.
_FILES = ("onnxruntime/capi/libonnxruntime.so.*",)
_SOURCES = (".pyx", ".pxd", ".pyi", ".c", ".h", ".a")

# What drivers and servers load by name, when it is needed.
_BY_NAME = (
    "logging.config",
    "redis",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    *(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Png", "Tiff", "WebP")),
)
# Modules of ours that import these are for training, or for extras that are not in the image.
_NOT_HERE = (
    "gensim",
    "httpx",
    "networkx",
    "numba",
    "polars",
    "pyarrow",
    "qdrant_client",
    "scipy",
    "torch",
    "torchvision",
)
_NO_MODULE = "recsvc.events.migrations.env"  # a script that Alembic runs


def remove() -> None:
    """Delete what nothing imports."""
    for name in _FOLDERS:
        shutil.rmtree(_PACKAGES / name)
    for folder in sorted(_PACKAGES.rglob("tests")):
        shutil.rmtree(folder, ignore_errors=True)  # some stand in others
    for path in [path for pattern in _FILES for path in _PACKAGES.glob(pattern)]:
        path.unlink()
    for path in _PACKAGES.rglob("*"):
        if path.suffix in _SOURCES and path.is_file():
            path.unlink()


def compile_imports() -> None:
    """Import what the service, its command line and the scheduler import: Python keeps the bytecode."""
    for name in _BY_NAME:
        importlib.import_module(name)
    for top in ("api", "recsvc"):
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}.", onerror=lambda _: None):
            if module.name == _NO_MODULE:
                continue
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if (error.name or "").split(".")[0] not in _NOT_HERE:
                    raise


remove()
compile_imports()
