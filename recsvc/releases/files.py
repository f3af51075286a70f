"""Files and folders that survive a power cut: sums, syncs, and a listing that trusts no link."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recsvc.releases.manifest import FileEntry


@dataclass(frozen=True)
class Tree:
    """What lies under a folder, as relative names with forward slashes.

    Attributes:
        sizes: Bytes of every regular file.
        folders: Every folder below the root.
        others: Links, pipes and all else that is neither a file nor a folder.
    """

    sizes: dict[str, int]
    folders: set[str]
    others: set[str]


def scan(root: Path) -> Tree:
    """List a folder, following no link."""
    tree = Tree({}, set(), set())
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    tree.folders.add(name)
                    pending.append(name + "/")
                elif entry.is_file(follow_symlinks=False):
                    tree.sizes[name] = entry.stat(follow_symlinks=False).st_size
                else:
                    tree.others.add(name)
    return tree


def sum_file(path: Path, *, sync: bool = False) -> FileEntry:
    """The SHA-256 and size of a regular file; with ``sync``, also written through to the disk.

    Raises:
        OSError: If it cannot be read, or is a link or no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file", str(path))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(descriptor)
    return FileEntry(sha256=digest, size=status.st_size)


def sync_folder(path: Path) -> None:
    """Write a folder's entries through to the disk, so that names made or renamed in it stay."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes, mode: str, *, midway: Callable[[], None]) -> None:
    """Write (``wb``) or append (``ab``) bytes and write them through to the disk.

    ``midway`` is called when half of them are written: a crash there leaves a torn file.
    """
    half = len(content) // 2
    with path.open(mode, buffering=0) as file:
        _write_all(file.fileno(), content[:half])
        midway()
        _write_all(file.fileno(), content[half:])
        os.fsync(file.fileno())


def whole_lines(content: bytes) -> list[bytes]:
    """The lines of a log that lines are only ever added to; what follows the last line feed is torn, and left out."""
    return content.split(b"\n")[:-1]


def append_line(path: Path, line: bytes, *, midway: Callable[[], None]) -> None:
    """Add a line to a log, which is made if need be, through to the disk; ``midway`` as in :func:`write_synced`."""
    is_new = not path.exists()
    write_synced(path, line + b"\n", "ab", midway=midway)
    if is_new:
        sync_folder(path.parent)


def drop_torn_line(path: Path) -> None:
    """Cut off a last line that a crash left without its end; nothing where there is no log."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
            os.fsync(file.fileno())


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
