"""Tensors of a safetensors file as views of one memory map.

``safetensors.numpy`` copies every tensor; the service maps the item table instead, so that all processes of a
machine share one copy of it.
"""

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsvc.errors import ReleaseError

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "U8": np.dtype("u1"),
}
_MAX_HEADER: Final = 1 << 20


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map a safetensors file whose sum has been verified; the arrays are read-only views of the file.

    Layout: eight bytes with the length of the header, a JSON header that gives type, shape and byte range of
    every tensor, then the bytes (https://huggingface.co/docs/safetensors).

    Raises:
        ReleaseError: If the file is missing, or is not a safetensors file of the types that a release holds.
    """
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise ReleaseError(f"{path} cannot be used as a tensor file: {error}.") from error
    try:
        (header_size,) = struct.unpack("<Q", content[:8].tobytes())
        if header_size > _MAX_HEADER:
            raise ValueError("its header is too large")
        header = json.loads(content[8 : 8 + header_size].tobytes())
        header.pop("__metadata__", None)
        data = np.asarray(content)[8 + header_size :]
        return {name: _view(data, entry) for name, entry in header.items()}
    except (KeyError, TypeError, AttributeError, ValueError, struct.error) as error:
        raise ReleaseError(f"{path} is not a readable safetensors file: {error}.") from error


def _view(data: npt.NDArray[np.uint8], entry: dict[str, Any]) -> npt.NDArray[Any]:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError("a tensor lies outside the file")
    dtype: np.dtype[Any] = _DTYPES[entry["dtype"]]
    return data[start:end].view(dtype).reshape(entry["shape"])
