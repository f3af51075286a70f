"""What is judged, by what, against what; and metrics against loops."""

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.pictures import PictureInput
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.evaluate import encoders, evaluate_pictures, label_task
from training.image.methods import build_method

CONFIG = ImageConfig.model_validate({"model": {"width": 4}, "neighbours": 3})


def make_cache(count=60, labels=None, splits=None, side=16):
    """Pictures in three colours, one after the other."""
    rng = np.random.default_rng(1)
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])[np.arange(count) % 3]
    pixels = np.clip(colours[:, None, None] + rng.normal(0, 30, (count, side, side, 3)), 0, 255).astype(np.uint8)
    spec = PictureInput(side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), labels, splits, pixels)


def methods(cache):
    return encoders(build_method(CONFIG, 16).eval(), CONFIG, cache.spec)


def test_by_label_with_a_split():
    labels = tuple("rgb"[row % 3] if row != 5 else None for row in range(60))
    splits = tuple("test" if row % 5 == 0 else ("validation" if row % 5 == 1 else "train") for row in range(60))
    cache = make_cache(labels=labels, splits=splits)
    gallery, queries, _ = label_task(cache)
    assert set(queries) == {row for row in range(0, 60, 5) if row != 5}
    assert set(gallery) == {row for row in range(60) if row % 5 > 1}
    protocol, found = evaluate_pictures(methods(cache), cache, CONFIG)
    assert protocol["labels"] == 3 and "11 pictures" in protocol["queries"] and "36 pictures" in protocol["gallery"]
    assert set(found) == {"model", "untrained", "pixels"}
    for values in found.values():
        assert set(values) == {"knn@3", "precision@10", "map"}
    assert found["pixels"] == {"knn@3": 1.0, "precision@10": 1.0, "map": pytest.approx(1.0)}  # colours tell all
    assert found["model"] == found["untrained"]  # nothing has been trained


def test_by_label_without_a_split_asks_a_fixed_fifth():
    cache = make_cache(labels=tuple("rgb"[row % 3] for row in range(60)))
    gallery, queries, origin = label_task(cache)
    assert len(queries) == 12 and sorted([*gallery, *queries]) == list(range(60)) and "no split" in origin
    again = label_task(cache)
    assert np.array_equal(queries, again[1])


def test_by_view_without_labels():
    cache = make_cache()
    protocol, found = evaluate_pictures(methods(cache), cache, CONFIG)
    assert "60 pictures" in protocol["queries"] and protocol["gallery"] == "all 60 pictures"
    for values in found.values():
        assert set(values) == {"view_hit@1", "view_mrr"}
        assert 0 <= values["view_hit@1"] <= values["view_mrr"] <= 1
    # The three colours are told apart, and little more: a random order within a colour finds 1 of 20.
    assert 1 / 60 < found["pixels"]["view_hit@1"] < 0.5
    constant = {"constant": lambda pixels: np.ones((len(pixels), 2), np.float32)}
    _, chance = evaluate_pictures(constant, cache, CONFIG)
    assert chance["constant"] == {"view_hit@1": 0.0, "view_mrr": pytest.approx(1 / 30.5)}
    _, again = evaluate_pictures(methods(cache), cache, CONFIG)
    assert again == found


def test_labels_of_queries_alone_are_nothing_to_judge_by():
    splits = tuple("test" if row % 2 else "train" for row in range(60))
    cache = make_cache(labels=tuple("r" if row % 2 else None for row in range(60)), splits=splits)
    assert label_task(cache) is None
