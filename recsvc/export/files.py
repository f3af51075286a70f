"""Files that appear whole or not at all, and never in place of another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from recsvc.data.staging import sync
from recsvc.errors import ConfigError


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file to fill; it becomes ``path`` unless an exception comes.

    Raises:
        ConfigError: there is something at ``path`` already, its folder does not exist, or it cannot be written.
    """
    check_new_file(path)
    staging = path.with_name(f".{path.name}.writing")
    try:
        with staging.open("wb") as file:
            yield file
        sync(staging)
        check_new_file(path)  # something may have come meanwhile
        staging.rename(path)
        sync(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        staging.unlink(missing_ok=True)


def check_new_file(path: Path) -> None:
    """Refuse a path at which there is something already, or that no file can be made at.

    Raises:
        ConfigError: says which.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists already; give a new file, or delete it first")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.absolute().parent}; make it first")
