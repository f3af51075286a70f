"""MovieLens' films and those of Wikidata: which are the same, who made them, and the graph of both."""

import sqlite3
from collections import Counter

import pytest

from recsvc.errors import DatasetError
from training import movielens_graph
from training.demo_files import cache_folder
from training.movielens_graph import Film, film_graph, graph_rows, match_films, read_films
from training.progress import Reporter

DASH = "\N{EN DASH}"
FILMS = [
    ("Toy Story", 1995),
    ("The Godfather", 1972),
    ("Les Misérables", 1995),
    ("Les Misérables", 1998),
    (f"Star Wars: Episode IV {DASH} A New Hope", 1977),
    (f"Star Wars: Episode V {DASH} The Empire Strikes Back", 1980),
    ("Il Postino: The Postman", 1994),
    ("Dr. Strangelove", 1964),
    ("MASH", 1970),
    ("8½", 1963),
    ("Naked Gun 33\N{VULGAR FRACTION ONE THIRD}: The Final Insult", 1994),
    ("Sibak", 1994),
    ("The Cook, the Thief, His Wife and Her Lover", 1989),
    ("Sabrina", 1954),
    ("Sabrina", 1995),
    ("Twins", 1991),
    ("Twins", 1993),
    ("Amityville: It's About Time", 1992),
    ("12 Monkeys", 1995),
    ("Мать", 1994),
]


def film(title: str, year: int, **people: list[str]) -> Film:
    return Film(title, year, {"director": [], "writer": [], "actor": [], **people})


def item(title: str, year: str, item_id: str = "1", genres: str = "") -> dict[str, str]:
    return {"item_id": item_id, "title": title, "year": year, "genres": genres}


@pytest.mark.parametrize(
    ("title", "year", "expected"),
    [
        ("Toy Story", "1995", ("Toy Story", 1995)),
        ("TOY STORY", "1996", ("Toy Story", 1995)),
        ("Toy Story", "1997", None),
        ("Toy Story", "", None),
        ("Toy Story", "V", None),
        ("Toy Story 2", "1995", None),
        ("Godfather, The", "1972", ("The Godfather", 1972)),
        ("Misérables, Les", "1995", ("Les Misérables", 1995)),
        ("Miserables, Les", "1997", ("Les Misérables", 1998)),
        ("Star Wars", "1977", FILMS[4]),
        ("Empire Strikes Back, The", "1980", FILMS[5]),
        ("Postino, Il", "1994", ("Il Postino: The Postman", 1994)),
        ("Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb", "1963", ("Dr. Strangelove", 1964)),
        ("M*A*S*H", "1970", ("MASH", 1970)),
        ("8 1/2", "1963", ("8½", 1963)),
        ("Naked Gun 33 1/3: The Final Insult", "1994", FILMS[10]),
        ("Midnight Dancers (Sibak)", "1994", ("Sibak", 1994)),
        ("Cook the Thief His Wife & Her Lover, The", "1989", FILMS[12]),
        ("Sabrina", "1995", ("Sabrina", 1995)),
        ("Sabrina", "1954", ("Sabrina", 1954)),
        ("Sabrina", "1955", ("Sabrina", 1954)),
        ("Twins", "1992", None),
        ("Amityville: A New Generation", "1993", None),
        ("Twelve Monkeys", "1995", ("12 Monkeys", 1995)),
        ("Отец", "1994", None),
    ],
)
def test_which_film_it_is(title, year, expected):
    found = match_films([item(title, year)], [film(*one) for one in FILMS])
    assert [(one.title, one.year) for one in found.values()] == ([expected] if expected else [])


def test_a_part_of_a_title_does_not_take_anothers_film():
    films = [film("Star Wars: The Movie", 1977)]
    both = [item("Star Wars: The Movie", "1977", "1"), item("Star Wars", "1977", "2")]
    assert set(match_films(both, films)) == {"1"}
    assert set(match_films(both[1:], films)) == {"2"}


def test_one_film_under_two_ids():
    """As MovieLens has some: both are it, and nobody counts twice for it."""
    films = [film("Hugo Pool", 1997, director=["A"], actor=["B", "C"]), film("Other", 1997, actor=["C"])]
    items = [item("Hugo Pool", "1997", "1618"), item("Hugo Pool", "1997", "1619"), item("Other", "1997", "3")]
    matched = match_films(items, films)
    assert matched["1618"] == matched["1619"] == films[0]
    edges = graph_rows(items, matched).edges
    assert [edge for edge in edges if edge[1] == "1619"] == [
        ("movie", "1619", "directed_by", "director", "A"),
        ("movie", "1619", "stars", "actor", "C"),
    ]


def test_the_titles_compared_by_hand_differ_by_more_than_the_rule():
    for (title, year), (other, other_year) in movielens_graph._OTHER_TITLES.items():
        assert match_films([item(title, year)], [film(other, other_year)]), title
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(movielens_graph, "_OTHER_TITLES", {})
            assert not match_films([item(title, year)], [film(other, other_year)]), title


def test_the_graph():
    films = [
        film("One", 1990, director=["Ann"], writer=["Ann", "Bob"], actor=["Cleo", "Dan"]),
        film("Two", 1991, director=["Eve"], writer=["Bob"], actor=["Dan"]),
    ]
    items = [
        item("One", "1990", "1", "Drama|War"),
        item("Two", "1991", "2", "War"),
        item("Three", "1992", "3", "unknown"),
    ]
    graph = graph_rows(items, match_films(items, films))
    assert graph.edges == [
        ("movie", "1", "has_genre", "genre", "Drama"),
        ("movie", "1", "has_genre", "genre", "War"),
        ("movie", "1", "directed_by", "director", "Ann"),
        ("movie", "1", "written_by", "writer", "Bob"),
        ("movie", "1", "stars", "actor", "Dan"),
        ("movie", "2", "has_genre", "genre", "War"),
        ("movie", "2", "directed_by", "director", "Eve"),
        ("movie", "2", "written_by", "writer", "Bob"),
        ("movie", "2", "stars", "actor", "Dan"),
    ], "who wrote or played in one film alone is left out; directors stay"
    assert graph.nodes == [
        ("movie", "1", "One"),
        ("movie", "2", "Two"),
        ("movie", "3", "Three"),
        ("actor", "Dan", "Dan"),
        ("director", "Ann", "Ann"),
        ("director", "Eve", "Eve"),
        ("genre", "Drama", "Drama"),
        ("genre", "War", "War"),
        ("writer", "Bob", "Bob"),
    ]


def write_films(path, rows):
    """A database in the package's layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    columns = '"ID" INTEGER, "Title" TEXT, "Year" INTEGER, "Director" TEXT, "Writer" TEXT, "Cast" TEXT'
    connection.execute(f'CREATE TABLE "omdb" ({columns})')
    connection.executemany("INSERT INTO omdb VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()


def test_the_packages_films(tmp_path):
    rows = [
        (2, "Copycat", 1995, "Jon Amiel", None, "Harry Connick, Jr., Holly Hunter, Holly Hunter"),
        (1, "Unforgiven", 1992, "Clint Eastwood", "David Webb Peoples, X", ""),
    ]
    write_films(tmp_path / "movies.db", rows)
    assert read_films(tmp_path / "movies.db") == [
        film("Unforgiven", 1992, director=["Clint Eastwood"], writer=["David Webb Peoples", "X"]),
        film("Copycat", 1995, director=["Jon Amiel"], actor=["Harry Connick, Jr.", "Holly Hunter"]),
    ]


def test_from_the_package(monkeypatch, tmp_path, capsys):
    write_films(tmp_path / "movies.db", [(1, "Toy Story", 1995, "John Lasseter", "", "Tom Hanks")])
    monkeypatch.setattr(movielens_graph, "package_file", lambda *_: tmp_path / "movies.db")
    graph = film_graph([item("Toy Story", "1995", "1", "Comedy"), item("Kolya", "1996", "2")], Reporter())
    assert ("movie", "1", "directed_by", "director", "John Lasseter") in graph.edges and len(graph.edges) == 2
    assert "1 of 2 films recognised in Wikidata; 4 nodes, 2 edges" in capsys.readouterr().err


def test_another_layout_is_one_clear_line(monkeypatch, tmp_path):
    sqlite3.connect(tmp_path / "movies.db").execute("CREATE TABLE films (title TEXT)").connection.close()
    monkeypatch.setattr(movielens_graph, "package_file", lambda *_: tmp_path / "movies.db")
    with pytest.raises(DatasetError, match=r"directors, writers and cast are missing: no such table: omdb; ") as error:
        film_graph([item("Toy Story", "1995")], Reporter(quiet=True))
    assert "\n" not in str(error.value)


def test_the_real_films():
    """Both packages as they are, where a demo has fetched them before."""
    from training.movielens import parse_package_files

    example = cache_folder() / "recbole==1.2.1" / "recbole" / "dataset_example" / "ml-100k"
    database = cache_folder() / movielens_graph._PACKAGE / movielens_graph._FILE
    if not (example.is_dir() and database.is_file()):
        pytest.skip(f"no packages in {cache_folder()}; `recsvc demo` fetches them")
    rows = parse_package_files(example / "ml-100k.inter", example / "ml-100k.item").items
    items = [dict(zip(("item_id", "title", "year", "genres"), row, strict=True)) for row in rows]
    matched = match_films(items, read_films(database))
    assert len(matched) == 1_414
    graph = graph_rows(items, matched)
    assert Counter(relation for _, _, relation, _, _ in graph.edges) == {
        "stars": 14_590,
        "has_genre": 2_891,
        "directed_by": 1_515,
        "written_by": 1_104,
    }
    directed = {
        (title, edge[4]) for edge in graph.edges for title in [rows[int(edge[1]) - 1][1]] if edge[2] == "directed_by"
    }
    for title, name in (
        ("Star Wars", "George Lucas"),
        ("Silence of the Lambs, The", "Jonathan Demme"),
        ("Toy Story", "John Lasseter"),
        ("Sabrina", "Sydney Pollack"),
        ("Sabrina", "Billy Wilder"),
        ("Twelve Monkeys", "Terry Gilliam"),
    ):
        assert (title, name) in directed
