"""Small files of runs and retrainings, written whole or not at all, and folders that vanish in one step."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
