"""New items enter a release: found by look-alikes and relations, while what was there answers as before."""

import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recsvc.answers import Recommender
from recsvc.answers.tensors import map_tensors
from recsvc.cli import run as run_command
from recsvc.data import IdIndex
from recsvc.data.graph import EdgeList, GraphTables, HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.errors import DatasetError, ReleaseError, RunError
from recsvc.releases import Catalogue, Store
from recsvc.releases.stages import Stage
from training import pipeline
from training.config import load_config
from training.retrain.attempts import Asked, Attempts
from training.retrain.increment import dataset_of, increment
from training.retrain.increment_graph import grown_graph

HISTORIES = (["item/4", "item/5"], ["item/9"], ["item/27", "item/28", "item/29"], [])


class Killed(BaseException):
    """Stands for `kill -9`."""


def picture(colour):
    content = io.BytesIO()
    noise = np.random.default_rng(7).normal(0, 25, size=(24, 20, 3)) + colour
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, trio_dataset, trio_settings):
    settings = trio_settings | {"image.evaluation.probe": "false"}  # which takes seconds
    config = load_config(overrides=[f"{key}={value}" for key, value in settings.items()])
    folder = tmp_path_factory.mktemp("trained")
    run = pipeline.train(trio_dataset, folder / "run", config=config)
    facts = {"retrain": {"key": "0123456789abcdef"}}
    pipeline.publish(run, Store(folder / "store"), activate=True, facts=facts)
    return run, folder / "store"


@pytest.fixture(scope="module")
def grown(tmp_path_factory, trio_dataset):
    """The trio with new items: of maker 0 with picture and edges, with a picture only, with nothing; two old ones get
    what they lacked, and there are a new maker and a word for nobody's item.
    """
    folder = tmp_path_factory.mktemp("grown") / "dataset"
    shutil.copytree(trio_dataset, folder)
    head, *lines = (folder / "items.csv").read_text("utf-8").splitlines()
    new = ["new/1,Newest,even", "new/2,Pictured,strange", "new/3,Bare,odd"]
    (folder / "items.csv").write_text("\n".join([head, *new, *lines]) + "\n", "utf-8")
    with (folder / "edges.csv").open("a", encoding="utf-8") as file:
        file.write("thing,new/1,made_by,maker,Maker 0\nthing,new/1,of_kind,kind,even\n")
        file.write("thing,new/1,made_by,maker,Maker new\nthing,item/31,of_kind,kind,odd\n")
        file.write("thing,nobody's,made_by,maker,Maker 0\n")
    table = pq.read_table(folder / "images.parquet").to_pydict()
    mean = np.asarray(Image.open(io.BytesIO(table["image"][2])).convert("RGB")).reshape(-1, 3).mean(axis=0)
    for item_id, content in (
        ("new/2", picture((250, 10, 250))),
        ("new/1", picture(mean)),
        ("item/29", picture((9, 9, 9))),
    ):
        table["item_id"].append(item_id)
        table["image"].append(content)
        table["label"].append(None)
    pq.write_table(pa.table(table), folder / "images.parquet")
    return folder


@pytest.fixture
def store(trained, tmp_path):
    return Store(shutil.copytree(trained[1], tmp_path / "store"))


@pytest.fixture(scope="module")
def incremented(trained, grown, tmp_path_factory):
    store = Store(shutil.copytree(trained[1], tmp_path_factory.mktemp("incremented") / "store"))
    found = increment(grown, store, store.path / "retrain", run=trained[0].folder)
    return store, found


def vectors_of(folder, space):
    catalogue = Catalogue.open(folder / "catalogue.sqlite")
    table = map_tensors(folder / space / "items.safetensors")
    things = catalogue.items(table["catalogue_rows"])
    return {
        (thing.node_type, thing.item_id): vector.tobytes()
        for thing, vector in zip(things, table["vectors"], strict=True)
    }


def test_the_manifest_says_what_came_to_which_release(incremented, trained):
    store, found = incremented
    before = Store(trained[1]).current()[0].id
    (active,) = store.current()
    assert active.id == found.release != before
    manifest, parent = store.verify(found.release), store.verify(before)
    facts = dict(manifest.data["increment"])
    assert len(facts.pop("sha256")) == 64
    assert facts == {"parent": before, "items": 2, "other_things": 1, "vectors": {"graph": 3, "image": 3}}
    assert (
        found.sentence
        == "new items 2, other new things 1; vectors: graph 3, image 3; 1 listed items have neither and wait"
    )
    assert {**manifest.data, "increment": None} == {**parent.data, "increment": None}
    assert (manifest.config, manifest.metrics) == (parent.config, parent.metrics)
    added = json.loads((store.path_of(found.release) / "added.json").read_text("utf-8"))
    assert added["image"] == [["thing", "new/2"], ["thing", "new/1"], ["thing", "item/29"]]
    assert sorted(added["graph"]) == [["maker", "Maker new"], ["thing", "item/31"], ["thing", "new/1"]]
    old, new = ((store.path_of(release) / "card.md").read_text("utf-8") for release in (before, found.release))
    assert new.startswith(old) and new.removeprefix(old).startswith(f"\n## Added to release `{before}`\n\nItems 2, ")
    promotion = store.promotions()[-1]
    assert (promotion.actor, promotion.after) == ("recsvc increment", found.release)
    assert promotion.reason == f"new items 2, other new things 1; vectors: graph 3, image 3, added to {before}"


def test_what_was_there_keeps_vectors_rows_and_answers(incremented):
    store, found = incremented
    old, new = (store.path_of(store.verify(found.release).data["increment"]["parent"]), store.path_of(found.release))
    for name in store.verify(old.name).files:
        if name.startswith("behaviour/") or name.endswith((".onnx", "warmup.json")):
            assert (old / name).samefile(new / name), name
    for space in ("behaviour", "graph", "image"):
        before, after = vectors_of(old, space), vectors_of(new, space)
        assert before.items() <= after.items()
        assert list(before) == list(after)[: len(before)]
    catalogues = [Catalogue.open(folder / "catalogue.sqlite") for folder in (old, new)]
    assert catalogues[1].ids[: catalogues[0].num_items] == catalogues[0].ids[: catalogues[0].num_items]
    assert catalogues[1].num_items == catalogues[0].num_items + 2
    assert set(catalogues[1].node_types) == {"thing", "maker", "kind"}
    first, second = (Recommender.open(folder, release_id=folder.name) for folder in (old, new))
    for history in HISTORIES:
        assert first.recommend(history, k=20).items == second.recommend(history, k=20).items
    for asked in ({"id": "item/3"}, {"id": "item/30", "space": "behaviour"}, {"id": "item/12", "space": "behaviour"}):
        assert first.similar(k=5, **asked).items == second.similar(k=5, **asked).items


def test_new_items_are_found(incremented):
    store, _ = incremented
    recommender = Recommender.from_store(store.path)
    recommender.warm_up()
    assert recommender.item("new/1").title == "Newest" and recommender.item("new/3") is None
    makers = {f"item/{item}" for item in range(5)}
    for space in ("graph", "image"):
        near = [item.item_id for item in recommender.similar(space=space, id="new/1", k=5).items]
        assert len(makers.intersection(near)) >= 3, (space, near)
        back = recommender.similar(space=space, id="item/2", k=8).items
        assert "new/1" in {item.item_id for item in back}, space
    of_maker = recommender.similar(space="graph", id="Maker 0", node_type="maker", target_types=["thing"], k=6)
    assert "new/1" in {item.item_id for item in of_maker.items}
    # People who come from them are answered by content; a filter finds them.
    answer = recommender.recommend(["new/1"], k=5)
    assert {item.reason for item in answer.items[:3]} == {"content"}
    odd = recommender.similar(space="image", id="item/1", k=30, filter={"attribute": "kind", "eq": "strange"})
    assert [item.item_id for item in odd.items] == ["new/2"]
    assert recommender.similar(space="image", id="item/29", k=1).unknown == []


def test_nothing_new_is_no_release(incremented, grown, trained):
    store, found = incremented
    before = [info.id for info in store.list()]
    again = increment(grown, store, store.path / "retrain", run=trained[0].folder)
    assert (again.release, again.sentence) == (
        None,
        "nothing new in pictures or relations; 1 listed items have neither and wait",
    )
    assert [info.id for info in store.list()] == before and store.current()[0].id == found.release


@pytest.mark.parametrize("die_at", [Stage.STAGING_MADE, Stage.MANIFEST_SYNCED, Stage.PUBLISHED, Stage.POINTER_WRITTEN])
def test_killed_and_run_again_it_comes_to_the_same(store, incremented, grown, trained, die_at):
    def hook(stage):
        if stage == die_at:
            raise Killed

    (before,) = store.current()
    with pytest.raises(Killed):
        increment(grown, store, store.path / "retrain", run=trained[0].folder, stage=hook)
    assert store.current() == [before] and store.verify(before.id)
    left = {info.id for info in store.list()} - {before.id}
    found = increment(grown, store, store.path / "retrain", run=trained[0].folder)
    whole, _ = incremented
    assert store.verify(found.release).files == whole.verify(whole.current()[0].id).files
    assert len(store.list()) == 2 and left <= {found.release}  # what was whole already is what is activated


def test_an_increment_on_an_increment(incremented, grown, trained, tmp_path):
    store = Store(shutil.copytree(incremented[0].path, tmp_path / "store"))
    data = shutil.copytree(grown, tmp_path / "data")
    with (data / "edges.csv").open("a", encoding="utf-8") as file:
        file.write("thing,new/3,made_by,maker,Maker 0\n")
    found = increment(data, store, tmp_path / "work", run=trained[0].folder)
    manifest = store.verify(found.release)
    assert manifest.data["increment"]["parent"] == incremented[1].release
    assert found.sentence == "new items 1, other new things 0; vectors: graph 1"
    for space in ("graph", "image"):
        before = vectors_of(store.path_of(incremented[1].release), space)
        assert before.items() <= vectors_of(store.path_of(found.release), space).items()
    near = Recommender.from_store(store.path).similar(space="graph", id="new/3", k=6).items
    assert {"new/1", "item/1"} & {item.item_id for item in near}


def test_without_the_run_nodes_wait(store, grown, tmp_path, capsys):
    from training.progress import Reporter

    found = increment(grown, store, tmp_path / "work", reporter=Reporter())
    assert store.verify(found.release).data["increment"]["vectors"] == {"image": 3}
    assert "graph: 3 nodes without a vector wait for the next training: the run" in capsys.readouterr().err


def test_run_and_data_set_are_found_in_the_work_folder(store, grown, trained, tmp_path, capsys):
    run, _ = trained
    attempts = Attempts(tmp_path / "work")
    attempts.clear()
    attempts.incoming.mkdir()
    sources = {"dataset": str(grown), "database": None}
    champion = store.current()[0].id
    asked = Asked(run.config, sources, cold=False, champion=champion, begun="2026-01-01T00:00:00+00:00", force=None)
    attempts.pin("0123456789abcdef", asked)
    assert dataset_of(store, tmp_path / "work") == grown
    shutil.copytree(run.folder, tmp_path / "work" / "attempts" / "0123456789abcdef" / "run")
    command = ["increment", f"--store={store.path}", f"--work={tmp_path / 'work'}"]
    assert run_command(command) == 0
    release, _, said = capsys.readouterr().out.partition(": ")
    assert release == store.current()[0].id and said.startswith(
        "new items 2, other new things 1; vectors: graph 3, image 3"
    )
    assert run_command(command) == 0
    told = capsys.readouterr()
    assert (told.out, told.err.startswith("nothing new")) == ("", True)


def test_what_the_caller_can_mend(store, grown, trained, tmp_path):
    run, _ = trained
    other = run.branch(tmp_path / "other", run.config)
    (other.folder / "run.json").write_text(json.dumps({**run.facts, "created": "then"}), "utf-8")
    with pytest.raises(RunError, match="was not published from this run"):
        increment(grown, store, tmp_path / "work", run=other.folder)
    with pytest.raises(ReleaseError, match="nothing to add to: retrain first"):
        increment(grown, Store(tmp_path / "empty"), tmp_path / "work")
    data = shutil.copytree(grown, tmp_path / "data")
    table = pq.read_table(data / "images.parquet").to_pydict()
    table["image"][-1] = table["image"][-1][:-40]  # damaged behind a good header
    pq.write_table(pa.table(table), data / "images.parquet")
    before = store.list()
    with pytest.raises(DatasetError, match=r"images\.parquet:row 32: the image is damaged"):
        increment(data, store, tmp_path / "work", run=run.folder)
    assert store.list() == before


def test_a_graph_grows_by_the_edges_of_bare_nodes_alone():
    key = RelationKey("film", "stars", "actor")
    rows = (np.array(each, np.int32) for each in ([0, 1, 2], [0, 1, 0]))
    nodes = {name: NodeTable(IdIndex.from_ids(ids)) for name, ids in (("film", "abc"), ("actor", "xy"))}
    old = HeteroGraph(("film", "actor"), nodes, (Relation.from_edges(key, *rows, shape=(3, 2)),))
    vectored = np.array([True, True, False, True, True])  # film c has none
    # d is new, c has an edge more and one that it had, a one more that must wait; another relation is not walked.
    films, actors = (IdIndex.from_ids(ids) for ids in ("dcba", "yxz"))
    named = {"film": NodeTable(films), "actor": NodeTable(actors)}
    pairs = [("d", "x"), ("c", "y"), ("c", "x"), ("a", "y"), ("b", "z")]
    edges = [np.array([ids.row_of(pair[end]) for pair in pairs], np.int32) for end, ids in enumerate((films, actors))]
    weights = np.array([2, 3, 4, 5, 6], np.float32)
    other = RelationKey("film", "by", "actor")
    tables = GraphTables(
        ("film", "actor"), named, (EdgeList(key, *edges, weights), EdgeList(other, edges[0][:1], edges[1][:1]))
    )
    graph, touched = grown_graph(old, tables, vectored)
    assert [list(graph.nodes[name].ids) for name in graph.node_types] == [list("abcd"), list("xyz")]
    (relation,) = graph.relations
    found = {
        (graph.nodes["film"].ids.id_of(source), graph.nodes["actor"].ids.id_of(target)): weight
        for source, target, weight in zip(
            *map(np.ndarray.tolist, (relation.sources, relation.targets, relation.weights)), strict=True
        )
    }
    ones = {("a", "x"): 1, ("b", "y"): 1, ("c", "x"): 1}
    assert found == ones | {("d", "x"): 2, ("c", "y"): 3, ("b", "z"): 6}
    assert touched.tolist() == [2, 3, 6]  # c, d, z
