"""Small files, of runs or where a command is told to put them: whole or not at all; folders that vanish in one step."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsvc.errors import ConfigError
from recsvc.releases.files import sync_folder

TRASH = ".trash-"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all, through to the disk."""
    staging = path.with_name(f".{path.name}.writing")
    with staging.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that :func:`write_json` wrote, or None if it is not there."""
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line; nothing where it is not there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def remove_folder(folder: Path) -> None:
    """Delete a folder, out of sight in one step: one that is half deleted must not pass for an unfinished one."""
    if not folder.exists():
        return
    trash = folder.with_name(f"{TRASH}{folder.name.lstrip('.')}")
    shutil.rmtree(trash, ignore_errors=True)
    folder.rename(trash)
    sync_folder(folder.parent)
    shutil.rmtree(trash)


def sweep_trash(folder: Path) -> None:
    """Delete what removals that were killed have left in a folder."""
    for entry in folder.glob(f"{TRASH}*"):
        shutil.rmtree(entry)


def link_file(source: str | Path, target: str | Path) -> None:
    """Let a file that nobody will write into stand in a second place, too; copied where that cannot be linked."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def check_writable(path: Path, option: str, *, new: bool) -> None:
    """Refuse a file that could not be written at the end.

    Args:
        path: the file.
        option: that names it.
        new: whether it must not be there yet.

    Raises:
        ConfigError: it is a folder, is there already, or lies in no folder.
    """
    if new and path.exists():
        raise ConfigError(f"{option} {path}: is there already; remove it or name another file")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"{option} {path}: cannot be written; name a file in a folder that exists")


def write_whole(path: Path, text: str, option: str) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        ConfigError: the disk refuses it.
    """
    staging = path.with_name(f".{path.name}.writing")
    try:
        staging.write_text(text, "utf-8")
        staging.replace(path)
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror})") from None
    finally:
        staging.unlink(missing_ok=True)
