"""Walks in a text file, one a line, nodes separated by blanks, as for the code of metapath2vec's authors.

A node is written ``type:id`` (:func:`~recsvc.export.keys.encode_node`).
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.data.problems import Problems, shown
from recsvc.errors import DatasetError
from recsvc.export.files import new_file

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]

_PART = 1 << 20  # tokens that are read before they are packed


def write_walks(path: Path, walks: Iterable[tuple[Int32, Int64]], names: Mapping[int, str] | list[str]) -> int:
    """Write a new file; returns how many walks.

    Args:
        path: the file to make.
        walks: blocks of walks: tokens, int32 [n], and where each walk ends in them, int64.
        names: key of each token.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    count = 0
    with new_file(path) as file:
        for tokens, ends in walks:
            words = [names[token] for token in tokens.tolist()]
            lines = [" ".join(words[begin:end]) + "\n" for begin, end in pairwise([0, *ends.tolist()])]
            file.write("".join(lines).encode())
            count += len(lines)
    return count


def read_walks(path: Path, rows: Mapping[str, int]) -> tuple[Int32, Int64]:
    """Read walks; lines of fewer than two nodes are passed over, as walks of one node are when they are made here.

    Args:
        path: the file, UTF-8.
        rows: global row of each node's key.

    Returns:
        Tokens, int32 [n], global rows, and where each walk ends in them, int64 [walks].

    Raises:
        DatasetError: a token is no node (at most twenty are named, with ``file:line``), the file cannot be read, or
            it has no walk.
    """
    problems, parts, waiting, ends, size = Problems(), [], [], [], 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                keys = line.split()
                walk = [rows.get(key, -1) for key in keys]
                if -1 in walk:
                    problems.add(path, _unknown(keys[walk.index(-1)]), line=number)
                if len(walk) < 2:
                    continue
                waiting += walk
                size += len(walk)
                ends.append(size)
                if len(waiting) >= _PART:
                    parts.append(np.array(waiting, np.int32))
                    waiting = []
    except OSError as error:
        raise DatasetError(f"{path}: the walks cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: the walks are not UTF-8; write them in UTF-8") from None
    problems.raise_if_any()
    if not ends:
        raise DatasetError(f"{path}: no line has two nodes; a walk is nodes written type:id, separated by blanks")
    return np.concatenate([*parts, np.array(waiting, np.int32)]), np.array(ends, np.int64)


def _unknown(key: str) -> str:
    if ":" not in key:
        return f"{shown(key)} is not written type:id"
    return f"the graph has no node {shown(key)}; keys are type:id, with blanks written %20 and percent signs %25"
