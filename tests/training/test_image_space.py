"""The image space in the pipeline: what is refused, what is written, whose vectors they are."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from recsvc.errors import ConfigError, DatasetError
from training import pipeline
from training.config import load_config
from training.image.cache import PictureCache
from training.image.encode import encode_pixels
from training.image.space import ImageSpace


def train(dataset, out, settings, **more):
    config = load_config(overrides=[f"{key}={value}" for key, value in (settings | more).items()])
    return pipeline.train(dataset, out, config=config, only=["image"])


@pytest.fixture(scope="module")
def run(tmp_path_factory, trio_dataset, trio_settings):
    return train(trio_dataset, tmp_path_factory.mktemp("image") / "run", trio_settings)


def test_a_run_holds_pixels_weights_and_facts(run):
    assert {entry.name for entry in run.data("image").iterdir()} == {
        "pixels.npy", "pictures.json", "ids.utf8.npy", "ids.offsets.npy", "sums.npy"
    }  # fmt: skip
    facts = json.loads((run.folder / "image.json").read_text("utf-8"))
    assert set(facts) == {"view_match", "epochs", "steps", "seconds"} and facts["epochs"] == 2
    assert (run.folder / "image" / "model.safetensors").is_file() and ImageSpace().trained(run)
    lines = [json.loads(line) for line in (run.folder / "image" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert {"validation/view_match", "validation/spread"} <= set(lines[-1])


def test_evaluation_names_its_protocol_and_baselines(run):
    found = pipeline.evaluate(run)["image"]
    assert set(found["baselines"]) == {"untrained", "pixels", "histogram"}
    for values in (found["model"], *found["baselines"].values()):
        assert {"knn@20", "hit_rate@1", "precision@10", "hit_rate@10", "recall@10", "map"} <= set(values)
        assert set(values) == set(found["model"])
        assert all(0 <= value <= 1 for value in values.values())
    assert found["protocol"]["labels"] == 6 and "no split" in found["protocol"]["queries"]
    assert found["protocol"]["seed"] == 0 and found["protocol"]["data_sha256"] == run.fingerprint


def test_vectors_are_exported_under_the_catalogues_rows(run, tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    space, cache, catalogue = ImageSpace(), PictureCache.load(run.data("image")), run.catalogue()
    entry = space.export(run, folder)
    table = load_file(folder / "items.safetensors")
    assert entry.count == len(cache) == 29 and entry.picture is not None and entry.picture.size == 16
    names = [item.item_id for item in catalogue.items(table["catalogue_rows"])]
    assert names == list(cache.ids)
    model = space.load_model(run, cache)
    np.testing.assert_allclose(table["vectors"], encode_pixels(model, cache.pixels, cache.spec), atol=1e-5)


def test_resuming_a_finished_run_trains_nothing(run, trio_dataset):
    weights = (run.folder / "image" / "model.safetensors").read_bytes()
    pipeline.train(trio_dataset, run.folder, only=["image"], resume=True)
    assert (run.folder / "image" / "model.safetensors").read_bytes() == weights


def test_an_unknown_split_is_refused_before_anything_is_written(tmp_path, trio_dataset, trio_settings):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    table = pq.read_table(trio_dataset / "images.parquet")
    splits = ["train"] * 20 + ["holdout"] * 9
    pq.write_table(table.append_column("split", pa.array(splits)), dataset / "images.parquet")
    with pytest.raises(DatasetError, match=r"images\.parquet:row 21: the split 'holdout' is none of") as error:
        train(dataset, tmp_path / "run", trio_settings)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_patch_that_does_not_fit_is_refused(tmp_path, trio_dataset, trio_settings):
    more = {"image.model.backbone": "vit_tiny", "image.model.patch": 5}
    with pytest.raises(ConfigError, match=r"image\.model\.patch: a patch of 5 pixels does not divide .* 16"):
        train(trio_dataset, tmp_path / "run", trio_settings, **more)
    assert not (tmp_path / "run").exists()


def test_pictures_of_some_items_only(run, trio_dataset):
    with (trio_dataset / "items.csv").open(encoding="utf-8") as file:
        listed = [row["item_id"] for row in csv.DictReader(file)]
    assert len(listed) == 32 and len(PictureCache.load(run.data("image"))) == 29
