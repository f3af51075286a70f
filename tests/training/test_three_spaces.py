"""One data set, three spaces: trained, evaluated, published and asked about together."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import load_file

from recsvc.data import make_split
from recsvc.data.graph import HeteroGraph
from recsvc.errors import ConfigError, DatasetError, RequestError
from recsvc.releases import Catalogue
from training import FittedRun, fit, pipeline
from training.config import load_config
from training.spaces import SPACES
from training.vectors import named_vectors


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, trio_dataset, trio_settings):
    return fit(trio_dataset, tmp_path_factory.mktemp("trio") / "run", settings=trio_settings, quiet=True)


def copied(dataset, folder):
    folder.mkdir()
    for file in dataset.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def noise_png():
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def test_every_space_is_trained_and_evaluated(fitted):
    found = fitted.evaluate()
    assert list(found) == ["behaviour", "graph", "image"]
    for result in found.values():
        assert {"protocol", "model", "baselines"} <= set(result)
        assert result["model"] and result["baselines"]
        for values in [result["model"], *result["baselines"].values()]:
            assert all(isinstance(value, float) for value in values.values())
    assert json.loads((fitted.run.folder / "evaluation.json").read_text("utf-8")) == found


def test_the_catalogue_lists_items_first_then_nodes_and_no_users(fitted):
    catalogue = fitted.run.catalogue()
    log = fitted.run.load_log()
    assert catalogue.item_type == "thing" and catalogue.num_items == 32
    assert list(catalogue.ids[:32]) == list(log.item_ids)
    assert set(catalogue.node_types) == {"thing", "maker", "kind"}
    row = catalogue.row("Maker 3", "maker")
    (maker,) = catalogue.items([row])
    assert (maker.node_type, maker.title, maker.popularity) == ("maker", "The maker no. 3", 0)


@pytest.mark.parametrize("space", ["behaviour", "graph", "image"])
def test_vectors_of_every_space_have_the_names_of_their_things(fitted, space, tmp_path):
    found = named_vectors(fitted.run, space)
    assert len(found.types) == len(found.ids) == len(found.keys) == len(found.vectors) > 10
    assert set(found.types) == ({"user", "thing", "maker", "kind"} if space == "graph" else {"thing"})
    assert len(set(found.keys)) == len(found.keys)
    SPACES[space].export(fitted.run, tmp_path)
    table, catalogue = load_file(tmp_path / "items.safetensors"), fitted.run.catalogue()
    wanted = {
        (thing.node_type, thing.item_id): vector
        for thing, vector in zip(catalogue.items(table["catalogue_rows"]), table["vectors"], strict=True)
    }
    named = dict(zip(zip(found.types, found.ids, strict=True), found.vectors, strict=True))
    assert wanted.keys() <= named.keys() and all(np.array_equal(named[name], wanted[name]) for name in wanted)


def test_no_held_out_interaction_is_in_the_graph(fitted):
    graph = HeteroGraph.load(fitted.run.data("graph"))
    log = fitted.run.load_log()
    split = make_split(log, fitted.run.config.split)
    (relation,) = [relation for relation in graph.relations if relation.key.name == "interacted"]
    users, things = graph.nodes["user"].ids, graph.nodes["thing"].ids
    found = {
        (users.id_of(user), things.id_of(thing))
        for user, thing in zip(relation.sources.tolist(), relation.targets.tolist(), strict=True)
    }
    trained = {
        (log.users.id_of(user), log.item_ids.id_of(item))
        for user in range(log.num_users)
        for item in log.items[log.offsets[user] : split.train_ends[user]].tolist()
    }
    assert found == trained
    held_out = {
        (log.users.id_of(user), log.item_ids.id_of(int(log.items[position])))
        for user, position in zip(split.test_users.tolist(), split.test_positions.tolist(), strict=True)
    }
    assert held_out - trained and not (held_out - trained) & found


def test_neighbours_in_each_space(fitted):
    makers = {f"item/{item}": item // 5 for item in range(30)}
    for space, least in (
        ("graph", 0.3),
        ("image", 0.5),
    ):  # by chance 4 of 29; on the ring, items of two makers meet too
        hits = [
            makers[item.item_id] == makers[asked]
            for asked in ("item/2", "item/12", "item/21")
            for item in fitted.similar(space=space, id=asked, k=4).items
        ]
        assert np.mean(hits) > least, space


def test_across_types(fitted):
    found = fitted.similar(space="graph", id="item/2", target_types=["maker"], k=3)
    assert {item.node_type for item in found.items} == {"maker"}
    assert found.items[0].item_id == "Maker 0" and found.items[0].title == "The maker no. 0"
    back = fitted.similar(space="graph", id="Maker 0", node_type="maker", target_types=["thing"], k=5)
    assert {item.item_id for item in back.items} & {f"item/{item}" for item in range(5)}
    with pytest.raises(RequestError, match="maker"):
        fitted.similar(space="graph", id="item/2", target_types=["makers"])


def test_what_a_space_does_not_hold_is_unknown(fitted):
    assert fitted.similar(space="image", id="item/29").unknown == ["item/29"]  # no picture
    assert fitted.similar(space="graph", id="item/31").unknown == ["item/31"]  # no edge
    assert fitted.similar(space="image", ids=["item/29", "item/3"]).unknown == ["item/29"]


def test_a_user_is_in_no_release(fitted):
    with pytest.raises(RequestError, match="user"):
        fitted.similar(space="graph", id="user 0", node_type="user")


def test_an_uploaded_picture_finds_itself(fitted, trio_dataset):
    table = pq.read_table(trio_dataset / "images.parquet").to_pydict()
    for row in (0, 7, 28):
        (first,) = fitted.similar_image(table["image"][row], k=1).items
        assert first.item_id == table["item_id"][row] and first.score == pytest.approx(1, abs=1e-5)


def test_a_run_is_resumed_with_further_spaces(tmp_path, trio_dataset, trio_settings):
    overrides = [f"{key}={value}" for key, value in trio_settings.items()]
    config = load_config(overrides=overrides)
    run = pipeline.train(trio_dataset, tmp_path / "run", config=config, only=["graph"])
    assert set(pipeline.evaluate(run)) == {"graph"}
    run = pipeline.train(trio_dataset, tmp_path / "run", only=["image"], resume=True)
    assert set(pipeline.trained_spaces(run)) == {"graph", "image"}
    fitted = FittedRun(run)
    assert {space.name for space in fitted.recommender.spaces()} == {"graph", "image"}
    with pytest.raises(RequestError, match="behaviour"):
        fitted.recommend(["item/1"])


def test_a_damaged_picture_leaves_nothing(tmp_path, trio_dataset, trio_settings):
    dataset = copied(trio_dataset, tmp_path / "dataset")
    (dataset / "images.parquet").unlink()
    (dataset / "images").mkdir()
    content = noise_png()
    for item in ("plain", "torn"):
        (dataset / "images" / f"{item}.png").write_bytes(content)
    (dataset / "images" / "torn.png").write_bytes(content[: len(content) // 2])
    with (dataset / "items.csv").open("a", encoding="utf-8") as file:
        file.write("plain,Plain,even\ntorn,Torn,odd\n")
    with pytest.raises(DatasetError, match=r"torn\.png: .*damaged") as error:
        fit(dataset, tmp_path / "run", settings=trio_settings, quiet=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("thing-makr-thing", "makr.*maker"),
        ("thing-maker", "go back the same way: thing-maker-thing"),
        ("thing-[made_bye]-maker-thing", "made_bye.*made_by"),
        ("maker-kind-maker", "maker.*kind"),
    ],
)
def test_an_unknown_meta_path_leaves_nothing(tmp_path, trio_dataset, trio_settings, path, message):
    with pytest.raises(ConfigError, match=message) as error:
        fit(trio_dataset, tmp_path / "run", settings=trio_settings | {"graph.meta_paths": [path]}, quiet=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_graph_without_items(tmp_path, trio_dataset, trio_settings):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    for name in ("edges.csv", "nodes.csv"):
        (dataset / name).write_bytes((trio_dataset / name).read_bytes())
    fitted = fit(dataset, tmp_path / "run", settings=trio_settings, quiet=True)
    assert Catalogue.open(fitted.run.folder / "catalogue.sqlite").num_items == 0
    with pytest.raises(RequestError, match="node_type"):
        fitted.similar(space="graph", id="item/2")
    found = fitted.similar(space="graph", id="item/2", node_type="thing", k=3)
    assert len(found.items) == 3 and {item.node_type for item in found.items} == {"thing"}


def test_pictures_alone_make_the_items(tmp_path, trio_dataset, trio_settings):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "images.parquet").write_bytes((trio_dataset / "images.parquet").read_bytes())
    fitted = fit(dataset, tmp_path / "run", settings=trio_settings, quiet=True)
    assert fitted.run.catalogue().num_items == 29
    assert len(fitted.similar(space="image", id="item/3", k=5).items) == 5


def test_a_picture_of_an_item_that_was_filtered_out_stays(tmp_path, trio_dataset, trio_settings):
    dataset = copied(trio_dataset, tmp_path / "dataset")
    for name in ("items.csv", "edges.csv", "nodes.csv"):
        (dataset / name).unlink()
    settings = trio_settings | {"data.min_item_interactions": 45, "graph.item_type": "thing"}
    fitted = fit(dataset, tmp_path / "run", settings=settings, quiet=True)
    log, catalogue = fitted.run.load_log(), fitted.run.catalogue()
    assert log.num_items < 30 and catalogue.num_items == 30 and catalogue.item_type == "thing"
    filtered = next(item_id for item_id in catalogue.ids[log.num_items :] if item_id != "item/29")
    assert len(fitted.similar(space="image", id=filtered, k=3).items) == 3
