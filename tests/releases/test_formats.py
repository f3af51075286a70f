"""Releases of other formats are refused by every reader, with the way out; what is served stays."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from api.engine import Engine
from api.metrics import Metrics
from recsvc.answers import Recommender
from recsvc.cli import run
from recsvc.errors import ReleaseError
from recsvc.releases import Store

BY = {"actor": "test", "reason": "test"}
WAYS_OUT = {
    1: "reads format 2, not 1; publish again",
    3: "reads format 2, not 3; use the newer version of recsvc that wrote it, or publish again",
}


@pytest.fixture(scope="module")
def tiny(load_support):
    return load_support("tiny_release").tiny_release()


@pytest.fixture(params=WAYS_OUT, ids="format {}".format)
def other(request, tiny, tmp_path) -> tuple[Store, str, str]:
    """A store as another version leaves it: manifest, id and pointer agree; its release, and the way out."""
    store = Store(tmp_path / "store")
    release = tiny.publish(store)
    folder = store.path_of(release)
    content = {**json.loads((folder / "manifest.json").read_bytes()), "format": request.param, "of a later day": {}}
    return store, activated(store, folder, content), WAYS_OUT[request.param]


def activated(store: Store, folder: Path, content: dict) -> str:
    manifest = json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    release = f"{folder.name.partition('-')[0]}-{digest[:12]}"
    folder.rename(folder.with_name(release))
    pointer = {"format": 1, "releases": [{"id": release, "share": 1.0, "manifest_sha256": digest}]}
    (store.path / "current").write_text(json.dumps(pointer), "utf-8")
    return release


def test_every_reader_says_the_way_out(other, capsys, tmp_path) -> None:
    store, release, way_out = other
    for read in (
        lambda: store.verify(release),
        lambda: store.activate(release, **BY),
        lambda: Recommender.from_store(store.path),
    ):
        with pytest.raises(ReleaseError) as refused:
            read()
        assert way_out in str(refused.value) and release in str(refused.value)
    (info,) = store.list()
    assert info.active and info.damage is not None and way_out in info.damage
    out = str(tmp_path / "recs.parquet")
    (tmp_path / "empty").mkdir()
    for command in (
        ["recommend", "1193"],
        ["recommend", "--all-users", "--out", out, "--dataset", str(tmp_path / "empty")],
        ["similar", "1193"],
        ["similar", "--all-items", "--out", out],
        ["releases", "verify"],
        ["releases", "show", release],
        ["releases", "show", release, "--card"],
        ["releases", "activate", release],
    ):
        assert run([*command, "--store", str(store.path)]) == 2
        error = capsys.readouterr().err
        assert way_out in error and error.count("\n") == 1
    assert run(["releases", "list", "--store", str(store.path)]) == 0
    assert way_out in capsys.readouterr().out


def test_a_service_refuses_it_by_name_and_serves_on(other, tiny, caplog) -> None:
    store, _, way_out = other
    pointer = (store.path / "current").read_bytes()
    served = tiny.publish(store)
    store.activate(served, **BY)
    engine = Engine(store, Metrics(), poll_seconds=1.0)
    engine.refresh()
    (store.path / "current").write_bytes(pointer)
    engine.refresh()
    assert engine.recommender is not None and engine.recommender.release == served
    (problem,) = [record.fields["problem"] for record in caplog.records if record.getMessage() == "release refused"]
    assert way_out in problem


def test_published_again_all_is_well(other, tiny) -> None:
    store, *_ = other
    again = tiny.publish(store)
    store.activate(again, **BY)
    assert Recommender.from_store(store.path).release == again
    assert store.verify(again).format == 2


@pytest.mark.parametrize(
    ("number", "way_out"), [(0, "activate a release anew"), (2, "use the newer version of recsvc")]
)
def test_a_pointer_of_another_format_says_the_way_out(tiny, tmp_path, number, way_out) -> None:
    store = Store(tmp_path / "store")
    release = tiny.publish(store)
    store.activate(release, **BY)
    pointer = json.loads((store.path / "current").read_bytes())
    (store.path / "current").write_text(json.dumps(pointer | {"format": number}), "utf-8")
    with pytest.raises(ReleaseError, match=way_out):
        store.current()
    store.activate(release, **BY)
    assert store.current()[0].id == release


def test_a_catalogue_of_another_layout_says_the_way_out(tiny, tmp_path) -> None:
    store = Store(tmp_path / "store")

    def older(folder: Path) -> None:
        with sqlite3.connect(folder / "catalogue.sqlite") as connection:
            connection.execute("PRAGMA user_version = 1")
        connection.close()

    store.activate(tiny.publish(store, tamper=older), **BY)
    with pytest.raises(ReleaseError, match="it has layout 1, this version of recsvc reads 2; publish again"):
        Recommender.from_store(store.path)
