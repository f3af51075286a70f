"""MovieLens-100K as a data set folder: from GroupLens' site, or else out of a Python package that carries it.

The data may be used for research and not redistributed, so it is fetched on the user's own machine, into a cache.
"""

import csv
import io
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from recsvc.errors import DatasetError
from training.progress import Reporter

_SITE = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_PACKAGE = "recbole==1.2.1"
_TIMEOUT = 15  # seconds without an answer
_RATINGS, _FILMS = 100_000, 1_682


class Ratings(NamedTuple):
    """The two tables, as rows of the data set folder's columns."""

    interactions: list[tuple[str, str, str, str]]
    """user_id, item_id, timestamp, rating."""
    items: list[tuple[str, str, str, str]]
    """item_id, title, year, genres."""


def movielens_100k(folder: Path, reporter: Reporter) -> Path:
    """Write MovieLens-100K as a data set folder, unless it is there already.

    Raises:
        DatasetError: neither source can be reached, or what came is not MovieLens-100K.
    """
    if (folder / "interactions.csv").is_file():
        return folder
    ratings = _from_site(reporter) or _from_package(reporter)
    if ratings is None:
        raise DatasetError(
            f"MovieLens-100K could not be fetched, neither from {_SITE} nor from the package {_PACKAGE}; "
            "connect to the network, or train on a folder of your own with `recsvc train`"
        )
    if len(ratings.interactions) != _RATINGS or len(ratings.items) != _FILMS:
        raise DatasetError(
            f"what was fetched as MovieLens-100K has {len(ratings.interactions):,} ratings of {len(ratings.items):,} "
            f"films, not {_RATINGS:,} of {_FILMS:,}; delete {_cache()} and try again"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: the folder cannot be made ({error.strerror})") from None
    _write(folder / "items.csv", ("item_id", "title", "year", "genres"), ratings.items)
    # Last, and by rename: its presence says that the folder is whole.
    _write(folder / "interactions.csv", ("user_id", "item_id", "timestamp", "rating"), ratings.interactions)
    return folder


def parse_site_archive(content: bytes) -> Ratings:
    """Read GroupLens' zip: ``u.data`` (tabs), ``u.item`` (Latin-1, bars, one flag per genre), ``u.genre``."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        data = archive.read("ml-100k/u.data").decode("ascii")
        films = archive.read("ml-100k/u.item").decode("latin-1")
        genres = [line.split("|")[0] for line in archive.read("ml-100k/u.genre").decode("ascii").split("\n") if line]
    interactions = []
    for line in data.splitlines():
        user, item, rating, timestamp = line.split("\t")
        interactions.append((user, item, timestamp, rating))
    items = []
    for line in films.split("\n"):
        if not line:
            continue
        fields = line.rstrip("\r").split("|")
        title, year = _title_and_year(fields[1])
        flags = zip(genres, fields[5:], strict=False)
        items.append((fields[0], title, year, "|".join(genre for genre, flag in flags if flag == "1")))
    return Ratings(interactions, items)


def parse_package_files(inter: Path, item: Path) -> Ratings:
    """Read the two tab-separated files that the package carries."""
    with inter.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        interactions = [(user, film, timestamp, rating) for user, film, rating, timestamp in rows]
    with item.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        items = [(film, title, year, genres.replace(" ", "|")) for film, title, year, genres in rows]
    return Ratings(interactions, items)


def _from_site(reporter: Reporter) -> Ratings | None:
    archive = _cache() / "ml-100k.zip"
    try:
        if not archive.is_file():
            with urllib.request.urlopen(_SITE, timeout=_TIMEOUT) as answer:
                content = answer.read()
            archive.parent.mkdir(parents=True, exist_ok=True)
            staging = archive.with_suffix(".writing")
            staging.write_bytes(content)
            staging.replace(archive)
        return parse_site_archive(archive.read_bytes())
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        reporter.line(
            f"MovieLens-100K: GroupLens' site gave none ({_first_line(error)}); trying the package {_PACKAGE}"
        )
        archive.unlink(missing_ok=True)
        return None


def _from_package(reporter: Reporter) -> Ratings | None:
    """Install the package without its dependencies into the cache and read its example files; none of it is run."""
    target = _cache() / _PACKAGE
    example = target / "recbole" / "dataset_example" / "ml-100k"
    try:
        if not (example / "ml-100k.item").is_file():
            shutil.rmtree(target, ignore_errors=True)
            subprocess.run(_install_command(target), check=True, capture_output=True, text=True)
        return parse_package_files(example / "ml-100k.inter", example / "ml-100k.item")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        detail = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
        reporter.line(f"MovieLens-100K: the package {_PACKAGE} gave none ({_first_line(detail)})")
        return None


def _install_command(target: Path) -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv")
    installer = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    return [*installer, "--quiet", "--no-deps", "--target", str(target), _PACKAGE]


def _title_and_year(text: str) -> tuple[str, str]:
    """Split "Toy Story (1995)"."""
    title, bracket, rest = text.rpartition(" (")
    year = rest.rstrip(") ")
    return (title.strip(), year) if bracket and year.isdigit() else (text.strip(), "")


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    staging = path.with_name(f".{path.name}.writing")
    with staging.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    staging.replace(path)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recsvc"


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0]
