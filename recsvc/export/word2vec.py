"""The files of word2vec.c: text, and binary as little-endian float32, both with a header ``V d``.

Readers differ, and so do writers: word2vec.c ends each binary row with a line break, gensim does not; GloVe and others
leave the header out of text; word2vec.c and the metapath2vec of its authors put a row ``</s>`` first. All are read.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from recsvc.errors import DatasetError
from recsvc.export.files import new_file
from recsvc.export.keys import SENTENCE_END

Float32 = NDArray[np.float32]

_KEY_BYTES = 8192  # no key is longer: an id has at most 512 bytes, each of which may take three
_LITTLE = np.dtype("<f4")
_ROWS = 4096


def write_word2vec(path: Path, keys: Iterable[str], vectors: Float32, *, binary: bool) -> None:
    """Write a new file; gensim's ``KeyedVectors.load_word2vec_format`` reads it, and so does :func:`read_word2vec`.

    Args:
        path: the file to make.
        keys: V keys without white space, as of :func:`~recsvc.export.keys.encode_key`.
        vectors: float32 [V, d].
        binary: whether each row is bytes, or numbers in text that read back to the same bits.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    with new_file(path) as file:
        file.write(f"{len(vectors)} {vectors.shape[1]}\n".encode())
        names = iter(keys)
        for first in range(0, len(vectors), _ROWS):
            part = vectors[first : first + _ROWS]
            for key, row in zip(islice(names, len(part)), part, strict=True):
                if binary:
                    file.write(key.encode() + b" " + row.astype(_LITTLE).tobytes() + b"\n")
                else:
                    file.write(f"{key} {' '.join(map(str, row))}\n".encode())


def read_word2vec(path: Path, *, binary: bool) -> tuple[list[str], Float32]:
    """Read a file of word2vec's, ours, or another's; a row ``</s>`` is left out.

    Returns:
        The keys as they stand there, and the vectors, float32 [V, d].

    Raises:
        DatasetError: the file cannot be read; ``file:line`` or ``file: row`` says where.
    """
    try:
        with path.open("rb") as file:
            keys, rows = _read_binary(file, path) if binary else _read_text(file, path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise DatasetError(f"{path}: the key {key!r} stands there twice")
        seen.add(key)
    return keys, rows


def _read_text(file: BinaryIO, path: Path) -> tuple[list[str], Float32]:
    keys: list[str] = []
    rows: list[Float32] = []
    wanted, dim = None, 0
    for number, line in enumerate(file, 1):
        parts = _decoded(line, path, number).rstrip("\r\n ").split(" ")
        if number == 1 and len(parts) == 2 and all(part.isdecimal() for part in parts):
            wanted, dim = int(parts[0]), int(parts[1])
            continue
        if parts == [""]:
            continue
        key, numbers = parts[0], parts[1:]
        dim = dim or len(numbers)
        if not dim or len(numbers) != dim:
            raise DatasetError(f"{path}:{number}: expected a key and {dim} numbers, found {len(numbers)} after the key")
        try:
            row = np.array(numbers, np.float32)
        except ValueError:
            raise DatasetError(f"{path}:{number}: what follows the key {key!r} is not all numbers") from None
        keys.append(key)
        rows.append(row)
    if wanted is not None and len(keys) != wanted:
        raise DatasetError(f"{path}: the header says {wanted:,} rows, and there are {len(keys):,}: the file is cut")
    kept = [place for place, key in enumerate(keys) if key != SENTENCE_END]
    table = np.stack([rows[place] for place in kept]) if kept else np.zeros((0, dim), np.float32)
    return [keys[place] for place in kept], table


def _read_binary(file: BinaryIO, path: Path) -> tuple[list[str], Float32]:
    header = file.readline(100).split()
    if len(header) != 2 or not all(part.isdigit() for part in header):
        raise DatasetError(f"{path}: does not begin with a line of two numbers, so it is no binary word2vec file")
    count, dim = int(header[0]), int(header[1])
    size = path.stat().st_size
    if count * (dim * 4 + 2) > size:
        raise DatasetError(f"{path}: the header says {count:,} rows of {dim}, for which {size:,} bytes are too few")
    keys: list[str] = []
    vectors = np.empty((count, dim), _LITTLE)
    for row in range(count):
        keys.append(_read_key(file, path, row + 1))
        numbers = file.read(dim * 4)
        if len(numbers) < dim * 4:
            raise DatasetError(f"{path}: row {row + 1:,} of {count:,} is cut")
        vectors[row] = np.frombuffer(numbers, _LITTLE)
    kept = [place for place, key in enumerate(keys) if key != SENTENCE_END]
    return [keys[place] for place in kept], vectors[kept].astype(np.float32)


def _read_key(file: BinaryIO, path: Path, row: int) -> str:
    """The bytes up to a blank, without the line break that may end the row before."""
    key = bytearray()
    for byte in _bytes(file):
        if byte == b" ":
            return _decoded(bytes(key), path, row)
        if byte != b"\n" or key:
            key += byte
        if len(key) > _KEY_BYTES:
            break
    raise DatasetError(
        f"{path}: row {row:,} has no key that ends in a blank, so rows are not as long as the header says"
    )


def _bytes(file: BinaryIO) -> Iterator[bytes]:
    while byte := file.read(1):
        yield byte


def _decoded(text: bytes, path: Path, number: int) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise DatasetError(f"{path}:{number}: not UTF-8") from None
