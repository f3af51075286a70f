"""The demo on a data set of ours, and MovieLens-100K as it comes: from the site, from the package, from nowhere."""

import io
import sqlite3
import subprocess
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recsvc.data import read_dataset
from recsvc.errors import DatasetError
from recsvc.releases import Store
from training import demo, movielens, pipeline
from training.progress import Reporter

DATA = "196\t242\t3\t881250949\n186\t302\t4\t891717742\n196\t1\t5\t881250950\n"
FILMS = (
    "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|0|0|1|1\n"
    "242|Misérables, Les (1995)|01-Jan-1995||http://x|0|1|0|0\n"
    "267|unknown||||1|0|0|0\n"
    "302|Shall We Dance? (1937) (1996)|11-Jul-1997||http://y|0|0|0|0\n"
)
GENRES = "unknown|0\nDrama|1\nAnimation|2\nComedy|3\n\n"
EXPECTED = movielens.Ratings(
    [("196", "242", "881250949", "3"), ("186", "302", "891717742", "4"), ("196", "1", "881250950", "5")],
    [
        ("1", "Toy Story", "1995", "Animation|Comedy"),
        ("242", "Misérables, Les", "1995", "Drama"),
        ("267", "unknown", "", "unknown"),
        ("302", "Shall We Dance? (1937)", "1996", ""),
    ],
)


def archive(films: str = FILMS, *, without: str = "") -> bytes:
    """A zip in GroupLens' layout."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in (("u.data", DATA), ("u.item", films), ("u.genre", GENRES)):
            if name != without:
                file.writestr(f"ml-100k/{name}", text.encode("latin-1"))
    return content.getvalue()


class Network:
    """Stands in for the site and for the package installer, and counts what is asked of them."""

    def __init__(
        self, site: bytes | None = None, package: tuple[str, str] | None = None, *, films: bool = True
    ) -> None:
        self.site, self.package, self.films = site, package, films
        self.asked: list[str] = []

    def urlopen(self, url: str, timeout: float) -> io.BytesIO:
        self.asked.append(url)
        assert 0 < timeout < 60
        if self.site is None:
            raise urllib.error.URLError("Name or service not known")
        return io.BytesIO(self.site)

    def run(self, command: list[str], **_: object) -> None:
        self.asked.append(command[-1])
        assert "--no-deps" in command
        target = Path(command[command.index("--target") + 1])
        if command[-1].startswith("bokeh-sampledata==") and self.films:
            return write_films(target / "bokeh_sampledata" / "_data" / "movies.db")
        if command[-1] != "recbole==1.2.1" or self.package is None:
            raise subprocess.CalledProcessError(2, command, stderr="error: no route to the index\nsecond line\n")
        example = target / "recbole" / "dataset_example" / "ml-100k"
        example.mkdir(parents=True)
        for name, text in zip(("inter", "item"), self.package, strict=True):
            (example / f"ml-100k.{name}").write_text(text, "utf-8")
        return None


def write_films(database: Path) -> None:
    """Two films in the layout of the package that knows who made them."""
    database.parent.mkdir(parents=True)
    connection = sqlite3.connect(database)
    connection.execute('CREATE TABLE omdb (ID INTEGER, Title, Year INTEGER, Director, Writer, "Cast")')
    films = [
        (1, "Toy Story", 1995, "John Lasseter", "", "Tom Hanks, Tim Allen"),
        (2, "Shall We Dance?", 1996, "Masayuki Suo", None, "Tom Hanks"),
    ]
    connection.executemany("INSERT INTO omdb VALUES (?, ?, ?, ?, ?, ?)", films)
    connection.commit()
    connection.close()


PACKAGE = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n186\t302\t4\t891717742\n"
    "196\t1\t5\t881250950\n",
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy Story\t1995\tAnimation Comedy\n"
    "242\tMisérables, Les\t1995\tDrama\n267\tunknown\t\tunknown\n302\tShall We Dance? (1937)\t1996\t\n",
)


@pytest.fixture
def connect(monkeypatch, tmp_path):
    """Put a network in place; the cache is ``tmp_path / "cache"``, and three ratings of four films are all there is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "_RATINGS", 3)
    monkeypatch.setattr(movielens, "_FILMS", 4)

    def put(network: Network) -> Network:
        monkeypatch.setattr(urllib.request, "urlopen", network.urlopen)
        monkeypatch.setattr(subprocess, "run", network.run)
        return network

    return put


def fetched(folder: Path) -> Path:
    return movielens.movielens_100k(folder, Reporter(quiet=True))


def check_folder(folder: Path) -> None:
    """The folder is what the library reads, with nothing else in it."""
    assert sorted(path.name for path in folder.iterdir()) == ["edges.csv", "interactions.csv", "items.csv", "nodes.csv"]
    dataset = read_dataset(folder)
    assert dataset.log is not None and len(dataset.log) == 3
    found = {item.item_id: (item.title, item.attributes) for item in dataset.items}
    assert found["1"] == ("Toy Story", {"year": "1995", "genres": ["Animation", "Comedy"]})
    assert found["242"] == ("Misérables, Les", {"year": "1995", "genres": "Drama"})
    assert found["302"] == ("Shall We Dance? (1937)", {"year": "1996"})
    user = dataset.log.users.row_of("196")
    assert dataset.log.item_ids.ids_of(dataset.log.history(user)) == ["242", "1"]
    assert dataset.graph is not None
    assert {kind: len(table.ids) for kind, table in dataset.graph.nodes.items()} == {
        "movie": 4, "actor": 1, "director": 2, "genre": 3,
    }  # fmt: skip
    assert {str(edges.relation): len(edges.sources) for edges in dataset.graph.edges} == {
        "movie-[has_genre]-genre": 3, "movie-[directed_by]-director": 2, "movie-[stars]-actor": 2,
    }  # fmt: skip


def test_the_sites_archive():
    assert movielens.parse_site_archive(archive()) == EXPECTED


def test_the_packages_files(tmp_path):
    for name, text in zip(("inter", "item"), PACKAGE, strict=True):
        (tmp_path / name).write_text(text, "utf-8")
    assert movielens.parse_package_files(tmp_path / "inter", tmp_path / "item") == EXPECTED


def test_from_the_site_once(connect, tmp_path):
    network = connect(Network(site=archive()))
    check_folder(fetched(tmp_path / "first"))
    check_folder(fetched(tmp_path / "first"))
    check_folder(fetched(tmp_path / "second"))
    assert [asked.split("==")[0] for asked in network.asked] == [movielens._SITE, "bokeh-sampledata"], (
        "kept in the cache"
    )


def test_from_the_package_where_the_site_is_out_of_reach(connect, tmp_path):
    network = connect(Network(package=PACKAGE))
    check_folder(fetched(tmp_path / "first"))
    check_folder(fetched(tmp_path / "second"))
    assert network.asked.count("recbole==1.2.1") == 1, "the package is kept in the cache"


@pytest.mark.parametrize(
    "content",
    [b"<html>please log in</html>", archive(without="u.genre"), archive("no bars at all\n")],
    ids=["a web page", "a file missing", "another layout"],
)
def test_what_is_not_the_archive_is_not_kept(connect, tmp_path, content):
    connect(Network(site=content, package=PACKAGE))
    check_folder(fetched(tmp_path / "dataset"))
    assert not (tmp_path / "cache" / "recsvc" / "ml-100k.zip").exists()


def test_other_counts_are_refused(connect, monkeypatch, tmp_path):
    connect(Network(site=archive()))
    monkeypatch.setattr(movielens, "_RATINGS", 100_000)
    monkeypatch.setattr(movielens, "_FILMS", 1_682)
    with pytest.raises(DatasetError, match=r"has 3 ratings of 4 films, not 100,000 of 1,682; delete .*recsvc") as error:
        fetched(tmp_path / "dataset")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "dataset").exists()


def test_nothing_can_be_reached(connect, recsvc, tmp_path):
    network = connect(Network())
    outcome = recsvc("demo", "--no-serve", "--folder", tmp_path / "demo")
    assert outcome.code == 2 and outcome.out == ""
    *progress, message = outcome.err.splitlines()
    assert message.startswith("recsvc: MovieLens-100K could not be fetched, neither from https://files.grouplens.org/")
    assert "recbole==1.2.1" in message and "recsvc train" in message
    assert len(progress) == 2 and "Name or service not known" in progress[0] and "no route to the index" in progress[1]
    assert len(network.asked) == 2
    assert not (tmp_path / "demo").exists()


def test_the_demo_folder_is_a_file(connect, recsvc, tmp_path):
    connect(Network(site=archive()))
    (tmp_path / "file").write_text("mine")
    outcome = recsvc("demo", "--no-serve", "--folder", tmp_path / "file")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "file" in outcome.err


def test_an_older_folder_is_given_its_graph(connect, tmp_path):
    connect(Network(site=archive()))
    folder = fetched(tmp_path / "dataset")
    ratings = (folder / "interactions.csv").stat()
    for name in ("nodes.csv", "edges.csv"):
        (folder / name).unlink()
    connect(Network())
    check_folder(fetched(folder))
    assert (folder / "interactions.csv").stat().st_mtime_ns == ratings.st_mtime_ns, "and keeps its ratings"


def test_who_made_the_films_cannot_be_fetched(connect, tmp_path):
    """The ratings are kept, and the next try goes on from there."""
    connect(Network(site=archive(), films=False))
    with pytest.raises(
        DatasetError, match=r"writers and cast are missing: the package bokeh-sampledata.*no route"
    ) as error:
        fetched(tmp_path / "dataset")
    assert "\n" not in str(error.value)
    connect(Network())
    check_folder(fetched(tmp_path / "dataset"))


def ring_of_films(folder: Path, new_ring) -> Path:
    """The ring, each item made by somebody."""
    new_ring(folder, users=60)
    lines = ["source_type,source_id,relation,target_type,target_id"]
    lines += [f"movie,item/{n},made_by,director,Maker {n // 8}" for n in range(9, 40)]
    (folder / "edges.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def write_pictures(folder: Path) -> Path:
    """Forty pictures, reddish or bluish."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for n in range(40):
        pixels = rng.integers(0, 100, (20, 20, 3)) + np.array([(120, 0, 0), (0, 0, 120)][n % 2])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"picture {n}.png")
    return folder


def test_the_demo_twice(monkeypatch, recsvc, new_ring, tiny_settings, tmp_path):
    monkeypatch.setattr(
        demo, "movielens_100k", lambda folder, reporter: folder if folder.exists() else ring_of_films(folder, new_ring)
    )
    monkeypatch.setattr(
        demo, "demo_pictures", lambda folder, reporter: folder if folder.exists() else write_pictures(folder)
    )
    monkeypatch.setattr(demo, "_FILM_SETTINGS", tuple(tiny_settings()[1::2]))
    monkeypatch.setattr(demo, "_PICTURE_SETTINGS", tuple(tiny_settings()[1::2]))
    monkeypatch.setattr(demo, "_HISTORIES", (("Number 1", "Number 2"), ("Number 8", "Number 9")))
    monkeypatch.setattr(demo, "_LOOK_ALIKES", "Number 12")
    monkeypatch.setattr(demo, "_MAKER", ("director", "Maker 2"))
    monkeypatch.setattr(demo, "_PICTURES", ("picture 3",))
    folder = tmp_path / "demo"
    first = recsvc("demo", "--no-serve", "--folder", folder)
    assert first.code == 0, first
    assert "61 users, 40 items" in first.err
    lines = first.out.splitlines()
    figures = [line.split()[:2] for line in lines if ": " in line and "(" in line][:3]
    assert figures == [["behaviour:", "ndcg@10"], ["graph:", "link_auc"], ["image:", "view_hit@1"]]
    for question in (
        *("after Number 1; Number 2:", "after Number 8; Number 9:"),
        *("near Number 12, by behaviour:", "near Number 12, by graph:", "near the director Maker 2:"),
    ):
        answers = lines[lines.index(question) + 1 :][:5]
        titles = [line.split(maxsplit=1)[1] for line in answers]
        assert len(set(titles)) == 5 and all(title.startswith("Number ") for title in titles)
        assert not set(titles) & set(question.rstrip(":").removeprefix("after ").removeprefix("near ").split("; "))
    pictures = lines[lines.index("looks like picture 3:") + 1 :][:5]
    assert sum(int(line.split()[-1]) % 2 for line in pictures) >= 4, "bluish ones look like a bluish one"
    (release,) = Store(folder / "store").list()
    assert release.active and release.id in lines[-2] and f"recsvc serve --store {folder / 'store'}" in lines[-2]
    (other,) = Store(folder / "pictures" / "store").list()
    assert other.active and other.id in lines[-1] and "no package carries pictures of the films" in lines[-1]
    weights = (folder / "run" / "behaviour" / "model.safetensors").stat()

    monkeypatch.setattr(pipeline, "evaluate", None)  # neither trained, nor evaluated, nor published again
    second = recsvc("demo", "--no-serve", "--folder", folder)
    assert second.code == 0 and second.out == first.out
    assert "trained already" in second.err
    assert (folder / "run" / "behaviour" / "model.safetensors").stat().st_mtime_ns == weights.st_mtime_ns
    assert [info.id for info in Store(folder / "store").list()] == [release.id]
