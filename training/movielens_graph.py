"""Who made MovieLens' films: directors, writers and cast, by name.

They come from ``movies.db``, an SQLite file in the package bokeh-sampledata: 17,472 films of 1940 to 2014 with what
Wikidata says of them, which may be used freely (CC0). Films are recognised by title and year. People are nodes of what
they did (a director who also acts is two nodes), and two people of one name are one node.
"""

import re
import sqlite3
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from recsvc.errors import DatasetError
from training.demo_files import package_file
from training.progress import Reporter

_PACKAGE = "bokeh-sampledata==2026.1"
_FILE = "bokeh_sampledata/_data/movies.db"
_QUERY = 'SELECT "Title", "Year", "Director", "Writer", "Cast" FROM "omdb" ORDER BY "ID"'
# Who made one film connects nothing. Directors stay: a reader asks for them, and there are few.
_LEAST_FILMS = {"director": 1, "writer": 2, "actor": 2}
_RELATIONS = {"director": "directed_by", "writer": "written_by", "actor": "stars"}
_BETWEEN_PARTS = re.compile(":| [-\N{EN DASH}] | or: ")
_ARTICLES = frozenset(
    ["the", "a", "an", "le", "la", "les", "l'", "un", "une", "il", "lo", "gli", "el", "los", "las", "der", "die", "das"]
)
# Well-known films whose titles no rule brings together: MovieLens' to Wikidata's, each compared by hand.
_OTHER_TITLES = {
    ("Twelve Monkeys", "1995"): ("12 Monkeys", 1995),
    ("Star Trek: The Wrath of Khan", "1982"): ("Star Trek II: The Wrath of Khan", 1982),
    ("William Shakespeare's Romeo and Juliet", "1996"): ("Romeo + Juliet", 1996),
    ("Jackie Chan's First Strike", "1996"): ("First Strike", 1996),
    ("Jungle Book, The", "1994"): ("Rudyard Kipling's The Jungle Book", 1994),
    ("My Left Foot", "1989"): ("My Left Foot", 1979),
    ("Sunset Blvd.", "1950"): ("Sunset Boulevard", 1950),
    ("Three Colors: Blue", "1993"): ("Three Colours: Blue", 1993),
    ("Three Colors: White", "1994"): ("Three Colours: White", 1994),
    ("Three Colors: Red", "1994"): ("Three Colours: Red", 1994),
}


class Film(NamedTuple):
    """A film as Wikidata has it."""

    title: str
    year: int
    people: dict[str, list[str]]
    """Node type (director, writer, actor) to names."""


class FilmGraph(NamedTuple):
    """Rows of ``nodes.csv`` and ``edges.csv``."""

    nodes: list[tuple[str, str, str]]
    """node_type, node_id, name."""
    edges: list[tuple[str, str, str, str, str]]
    """source_type, source_id, relation, target_type, target_id."""


def film_graph(items: Sequence[Mapping[str, str]], reporter: Reporter) -> FilmGraph:
    """Join MovieLens' films to their makers and genres.

    Args:
        items: Rows of ``items.csv``: item_id, title, year, genres.
        reporter: Told how many films were recognised.

    Raises:
        DatasetError: the package that knows the films cannot be had.
    """
    try:
        films = read_films(package_file(_PACKAGE, _FILE))
    except (DatasetError, sqlite3.Error) as error:
        raise DatasetError(
            f"The films' directors, writers and cast are missing: {error}; connect to the network and run it again"
        ) from None
    matched = match_films(items, films)
    graph = graph_rows(items, matched)
    reporter.line(
        f"MovieLens-100K: {len(matched):,} of {len(items):,} films recognised in Wikidata; "
        f"{len(graph.nodes):,} nodes, {len(graph.edges):,} edges"
    )
    return graph


def read_films(database: Path) -> list[Film]:
    """Read the package's table of films."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        rows = connection.execute(_QUERY).fetchall()
    finally:
        connection.close()
    return [
        Film(title, year, {"director": _names(director), "writer": _names(writer), "actor": _names(cast)})
        for title, year, director, writer, cast in rows
    ]


def match_films(items: Sequence[Mapping[str, str]], films: Sequence[Film]) -> dict[str, Film]:
    """Recognise MovieLens' films, item id to film; those that fit none or several are left out.

    A title fits if it is the same but for case, accents, punctuation and the place of its article; MovieLens' other
    title, in brackets, may stand for the first. Years may differ by one, since countries differ in what year a film
    came out, but the same year goes first: remakes share their titles. A title that fits none may be one part of the
    other source's ("Star Wars: Episode IV ..."), of a film that nothing else fits.
    """
    whole, parts = _by_title(films)
    exact: dict[str, int] = {}
    for item in items:
        other = _OTHER_TITLES.get((item["title"], item["year"]))
        titles, year = ([other[0]], str(other[1])) if other else (_titles(item["title"]), item["year"])
        if (film := _only([row for title in titles for row in whole[_key(title)]], year, films)) is not None:
            exact[item["item_id"]] = film
    taken = set(exact.values())
    rest: dict[str, int] = {}
    for item in items:
        if item["item_id"] in exact:
            continue
        titles = _titles(item["title"])
        rows = [row for title in titles for row in parts[_key(title)]]
        rows += [row for title in titles for part in _parts(title) for row in whole[_key(part)]]
        if (film := _only([row for row in rows if row not in taken], item["year"], films)) is not None:
            rest[item["item_id"]] = film
    return {item_id: films[row] for item_id, row in {**exact, **rest}.items()}


def graph_rows(items: Sequence[Mapping[str, str]], matched: Mapping[str, Film]) -> FilmGraph:
    """Rows of the graph: every film, its genres, and the makers of those films that were recognised."""
    films = {(film.title, film.year): film for film in matched.values()}  # MovieLens has some under two ids
    counts = {
        node_type: Counter(name for film in films.values() for name in film.people[node_type])
        for node_type in _RELATIONS
    }
    edges = []
    for item in items:
        edges += [
            ("movie", item["item_id"], "has_genre", "genre", genre)
            for genre in item["genres"].split("|")
            if genre not in {"", "unknown"}
        ]
        if (film := matched.get(item["item_id"])) is None:
            continue
        edges += [
            ("movie", item["item_id"], relation, node_type, name)
            for node_type, relation in _RELATIONS.items()
            for name in film.people[node_type]
            if counts[node_type][name] >= _LEAST_FILMS[node_type]
        ]
    nodes = [("movie", item["item_id"], item["title"]) for item in items]
    others = dict.fromkeys((target_type, target) for *_, target_type, target in edges)
    return FilmGraph(nodes + [(node_type, name, name) for node_type, name in sorted(others)], edges)


def _by_title(films: Iterable[Film]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Rows of the films by the keys of their titles, and by those of their titles' parts."""
    whole: dict[str, list[int]] = defaultdict(list)
    parts: dict[str, list[int]] = defaultdict(list)
    for row, film in enumerate(films):
        whole[_key(film.title)].append(row)
        for part in _parts(film.title):
            parts[_key(part)].append(row)
    whole[""], parts[""] = [], []  # titles without a Latin letter or digit: nothing to compare
    return whole, parts


def _only(rows: Iterable[int], year: str, films: Sequence[Film]) -> int | None:
    """The one film of that year, or else the one film of a year beside it."""
    if not year.isdigit():
        return None
    for distance in (0, 1):
        near = {row for row in rows if abs(films[row].year - int(year)) == distance}
        if near:
            return near.pop() if len(near) == 1 else None
    return None


def _titles(title: str) -> list[str]:
    """The title and, where there are brackets, the other title in them: "Sibak" of "Midnight Dancers (Sibak)"."""
    first, bracket, rest = title.partition(" (")
    titles = [title, first, rest.rpartition(")")[0]] if bracket and rest.endswith(")") else [title]
    return [_article_first(text) for text in titles]


def _article_first(title: str) -> str:
    """Turn "Postino, Il" into "Il Postino"."""
    name, comma, article = title.rpartition(", ")
    return f"{article} {name}" if comma and article.casefold() in _ARTICLES else title


def _parts(title: str) -> list[str]:
    """The parts of a title of several, split at colons and spaced dashes; a lone article is none."""
    parts = [part.strip() for part in _BETWEEN_PARTS.split(title)]
    return [part for part in parts if part.casefold() not in _ARTICLES] if len(parts) > 1 else []


def _key(title: str) -> str:
    """What is left of a title without case, accents, punctuation and blanks."""
    plain = unicodedata.normalize("NFKD", title.casefold().replace("&", "and"))
    return "".join(character for character in plain if character.isascii() and character.isalnum())


def _names(text: str | None) -> list[str]:
    """Split "Harry Connick, Jr., Holly Hunter": each name once, in its order."""
    return list(dict.fromkeys(name for name in re.split(r", (?!(?:Jr|Sr)\b)", text or "") if name))
