"""MovieLens-100K as a data set folder: ratings, films, and the graph of who made them.

Ratings and films come from GroupLens' site, or else out of a Python package that carries them; they may be used for
research and not redistributed, so they are fetched on the user's own machine, into a cache. ``movielens_graph`` says
where the graph comes from.
"""

import csv
import io
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

from recsvc.errors import DatasetError
from training.demo_files import cache_folder, first_line, make_folder, package_file, write_csv
from training.movielens_graph import film_graph
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
    """Write MovieLens-100K as a data set folder, or what an existing folder lacks of it.

    ``interactions.csv``, ``items.csv``, and ``nodes.csv`` and ``edges.csv`` whose item type is ``movie``.

    Raises:
        DatasetError: a source cannot be reached, or what came is not MovieLens-100K.
    """
    if not (folder / "interactions.csv").is_file():
        _write_ratings(folder, reporter)
    if not (folder / "edges.csv").is_file():
        with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
            graph = film_graph(list(csv.DictReader(file)), reporter)
        write_csv(folder / "nodes.csv", ("node_type", "node_id", "name"), graph.nodes)
        # Last, and by rename: its presence says that the graph is whole.
        write_csv(
            folder / "edges.csv", ("source_type", "source_id", "relation", "target_type", "target_id"), graph.edges
        )
    return folder


def _write_ratings(folder: Path, reporter: Reporter) -> None:
    ratings = _from_site(reporter) or _from_package(reporter)
    if ratings is None:
        raise DatasetError(
            f"MovieLens-100K could not be fetched, neither from {_SITE} nor from the package {_PACKAGE}; "
            "connect to the network, or train on a folder of your own with `recsvc train`"
        )
    if len(ratings.interactions) != _RATINGS or len(ratings.items) != _FILMS:
        raise DatasetError(
            f"what was fetched as MovieLens-100K has {len(ratings.interactions):,} ratings of {len(ratings.items):,} "
            f"films, not {_RATINGS:,} of {_FILMS:,}; delete {cache_folder()} and try again"
        )
    make_folder(folder)
    write_csv(folder / "items.csv", ("item_id", "title", "year", "genres"), ratings.items)
    # Last, and by rename: its presence says that both are whole.
    write_csv(folder / "interactions.csv", ("user_id", "item_id", "timestamp", "rating"), ratings.interactions)


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
    archive = cache_folder() / "ml-100k.zip"
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
        reporter.line(f"MovieLens-100K: GroupLens' site gave none ({first_line(error)}); trying the package {_PACKAGE}")
        archive.unlink(missing_ok=True)
        return None


def _from_package(reporter: Reporter) -> Ratings | None:
    try:
        items = package_file(_PACKAGE, "recbole/dataset_example/ml-100k/ml-100k.item")
        return parse_package_files(items.with_name("ml-100k.inter"), items)
    except (DatasetError, OSError, ValueError) as error:
        reporter.line(f"MovieLens-100K: the package {_PACKAGE} gave none ({first_line(error)})")
        return None


def _title_and_year(text: str) -> tuple[str, str]:
    """Split "Toy Story (1995)"."""
    title, bracket, rest = text.rpartition(" (")
    year = rest.rstrip(") ")
    return (title.strip(), year) if bracket and year.isdigit() else (text.strip(), "")
