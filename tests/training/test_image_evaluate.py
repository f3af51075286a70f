"""What is judged, by what, against what; attributes in place of labels; and transfer."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recsvc.data import IdIndex, read_dataset
from recsvc.errors import ConfigError, DatasetError
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.pictures import PictureInput
from recsvc.releases import Catalogue, CatalogueItem, write_catalogue
from training.image.baselines import encoders
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.evaluate import evaluate_pictures, transfer
from training.image.evaluation_config import ImageEvaluation
from training.image.labels import attribute_values, check_attribute, label_task, label_values
from training.image.methods import build_method

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = ImageConfig.model_validate({"model": {"width": 4}})
SETTINGS = ImageEvaluation(neighbours=(3, 200), cutoffs=(10,), resamples=200, label_shares=(0.01, 0.2))
RETRIEVAL = {"precision@10", "hit_rate@10", "recall@10", "map"}


def coloured(count, side=16):
    """Pictures in three colours, one after the other."""
    rng = np.random.default_rng(1)
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])[np.arange(count) % 3]
    return np.clip(colours[:, None, None] + rng.normal(0, 30, (count, side, side, 3)), 0, 255).astype(np.uint8)


def make_cache(count=60, labels=None, splits=None):
    spec = PictureInput(16, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), labels, splits, coloured(count))


def methods(cache):
    return encoders(build_method(CONFIG, 16).eval(), CONFIG, cache.spec)


def judge(cache, settings=SETTINGS, values=None):
    return evaluate_pictures(methods(cache), cache, CONFIG, settings, values)


def task_of(cache, settings=SETTINGS):
    return label_task(cache, label_values(cache), settings)


def test_by_label_with_a_split():
    labels = tuple("rgb"[row % 3] if row != 5 else None for row in range(60))
    splits = tuple("test" if row % 5 == 0 else ("validation" if row % 5 == 1 else "train") for row in range(60))
    cache = make_cache(labels=labels, splits=splits)
    task = task_of(cache)
    assert set(task.queries) == {row for row in range(0, 60, 5) if row != 5}
    assert set(task.gallery) == {row for row in range(60) if row % 5 > 1}
    protocol, found, intervals = judge(cache)
    assert protocol["labels"] == 3 and "11 pictures" in protocol["queries"] and "36 pictures" in protocol["gallery"]
    assert set(found) == {"model", "untrained", "pixels", "histogram"}
    for values in found.values():
        # 200 neighbours and 1 % of the labels are more and less than there is.
        assert set(values) == {"knn@3", "linear", "linear@20%"} | RETRIEVAL
    for baseline in ("pixels", "histogram"):  # colours tell all
        expected = {"knn@3": 1, "linear": 1, "linear@20%": 1, "precision@10": 1, "hit_rate@10": 1, "map": 1}
        assert found[baseline] == pytest.approx(expected | {"recall@10": 10 / 12}, rel=0.01)
    assert found["model"] == found["untrained"]  # nothing has been trained
    for metric, interval in intervals["model_minus_untrained"].items():
        assert interval == {"mean": 0.0, "low": 0.0, "high": 0.0}, metric
    lead = intervals["model_minus_histogram"]["map"]
    assert lead["mean"] == pytest.approx(found["model"]["map"] - found["histogram"]["map"])
    assert lead["low"] <= lead["mean"] <= lead["high"] <= 0
    own = intervals["model"]["map"]
    assert own["mean"] == pytest.approx(found["model"]["map"]) and own["low"] <= own["mean"] <= own["high"]


def test_leads_are_paired():
    """A baseline that errs on the same queries has a narrow lead, however wide both figures' own intervals are."""
    labels = tuple("rgb"[row % 3] for row in range(60))
    cache = make_cache(labels=labels, splits=tuple("test" if row % 2 else "train" for row in range(60)))
    wrong = {1, 3, 5, 7, 9, 11, 13, 15}  # rows whose vector says the next colour

    def seer(mistaken):
        vectors = {cache.pixels[row].tobytes(): np.eye(3)[(row + (row in mistaken)) % 3] for row in range(60)}
        return lambda pixels: np.array([vectors[each.tobytes()] for each in pixels], np.float32)

    both = {"model": seer(wrong - {1}), "untrained": seer(wrong)}
    intervals = evaluate_pictures(both, cache, CONFIG, SETTINGS).intervals
    assert "model_minus_histogram" not in intervals
    knn = intervals["model_minus_untrained"]["knn@3"]
    gains = np.array([1.0] + [0.0] * 29)
    assert knn == bootstrap_mean(gains, samples=200)._asdict()
    wide = intervals["model"]["knn@3"]
    assert wide["high"] - wide["low"] > 2 * (knn["high"] - knn["low"])


def test_by_label_without_a_split_asks_a_fixed_fifth():
    cache = make_cache(labels=tuple("rgb"[row % 3] for row in range(60)))
    task = task_of(cache)
    assert len(task.queries) == 12 and sorted([*task.gallery, *task.queries]) == list(range(60))
    assert "no split" in task.origin
    assert np.array_equal(task.queries, task_of(cache).queries)
    other = task_of(cache, SETTINGS.model_copy(update={"seed": 1}))
    assert not np.array_equal(task.queries, other.queries)


def test_by_view_without_labels():
    cache = make_cache()
    protocol, found, intervals = judge(cache)
    assert "60 pictures" in protocol["queries"] and protocol["gallery"] == "all 60 pictures"
    for values in found.values():
        assert set(values) == {"view_hit@1", "view_mrr"}
        assert 0 <= values["view_hit@1"] <= values["view_mrr"] <= 1
    assert intervals["model"]["view_mrr"]["mean"] == pytest.approx(found["model"]["view_mrr"])
    # The three colours are told apart, and little more: a random order within a colour finds 1 of 20.
    assert 1 / 60 < found["pixels"]["view_hit@1"] < 0.5
    constant = {"constant": lambda pixels: np.ones((len(pixels), 2), np.float32)}
    chance = evaluate_pictures(constant, cache, CONFIG, SETTINGS)
    assert chance.figures["constant"] == {"view_hit@1": 0.0, "view_mrr": pytest.approx(1 / 30.5)}
    assert chance.intervals == {}
    assert judge(cache) == (protocol, found, intervals)


def test_labels_of_queries_alone_are_nothing_to_judge_by():
    splits = tuple("test" if row % 2 else "train" for row in range(60))
    cache = make_cache(labels=tuple("r" if row % 2 else None for row in range(60)), splits=splits)
    assert task_of(cache) is None


GENRES = [("red", "warm"), ("green",), ("blue", "cold")]


def test_an_attribute_with_several_values():
    cache = make_cache(labels=("one",) * 60)  # its own labels would say nothing
    values = [GENRES[row % 3] if row != 7 else () for row in range(60)]
    settings = SETTINGS.model_copy(update={"attribute": "genres"})
    task = label_task(cache, values, settings)
    assert not task.single and task.names == ["blue", "cold", "green", "red", "warm"]
    assert 7 not in task.gallery and 7 not in task.queries
    assert [task.names[c] for c in np.flatnonzero(task.labels[0])] == ["red", "warm"]
    protocol, found, _ = judge(cache, settings, values)
    assert protocol["precision, hit rate, recall, map"].endswith("any value of genres in common are right")
    assert set(found["model"]) == RETRIEVAL, "a classifier needs one label each"
    assert found["histogram"]["precision@10"] == 1
    # With one genre of all, everything is right; unless the whole set must be the same.
    shared = [(*own, "film") if own else () for own in values]
    assert judge(cache, settings, shared).figures["pixels"]["map"] == 1
    same = settings.model_copy(update={"relevance": "same"})
    assert label_task(cache, shared, same).names == ["blue | cold | film", "film | green", "film | red | warm"]
    assert "knn@3" in judge(cache, same, shared).figures["model"]


def test_values_come_from_the_catalogue(tmp_path):
    path = tmp_path / "catalogue.sqlite"
    attributes = [{"genres": ["Crime", "Drama", "Crime"]}, {"genres": "War"}, {"year": "1995"}]
    write_catalogue(path, [CatalogueItem(f"i{n}", None, each, 0, "item") for n, each in enumerate(attributes)])
    catalogue = Catalogue.open(path)
    assert attribute_values(catalogue, ["i2", "i0", "i1"], "genres") == [(), ("Crime", "Drama"), ("War",)]
    catalogue.close()


def write_dataset(folder, *, labels=True):
    folder.mkdir()
    pictures = []
    for pixels in coloured(30):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        pictures.append(content.getvalue())
    table = {
        "item_id": [str(row) for row in range(30)],
        "image": pictures,
        "split": ["test" if row % 3 == 0 else "train" for row in range(30)],
    }
    if labels:
        table["label"] = ["xyz"[(row // 3) % 3] for row in range(30)]
    (folder / "items.csv").write_text("item_id,genres\n" + "".join(f"{row},a|b\n" for row in range(30)), "utf-8")
    pq.write_table(pa.table(table), folder / "images.parquet")
    return read_dataset(folder)


def test_transfer_to_another_data_set(tmp_path):
    cache = make_cache()
    model = build_method(CONFIG, 16).eval()
    dataset = write_dataset(tmp_path / "other")
    judged = transfer(model, CONFIG, cache.spec, dataset, SETTINGS)
    assert judged.protocol["transfer"] == "frozen, to other" and judged.protocol["labels"] == 3
    assert "20 pictures" in judged.protocol["gallery"] and set(judged.figures) == {"model", *list(methods(cache))[1:]}
    assert judged.figures["model"] == judged.figures["untrained"]
    with pytest.raises(DatasetError, match="transfer needs pictures with labels"):
        transfer(model, CONFIG, cache.spec, write_dataset(tmp_path / "bare", labels=False), SETTINGS)


def test_an_attribute_that_items_do_not_have(tmp_path):
    dataset = write_dataset(tmp_path / "set")
    check_attribute(dataset, ImageEvaluation())
    check_attribute(dataset, ImageEvaluation(attribute="genres"))
    with pytest.raises(ConfigError, match=r"image\.evaluation\.attribute: .*'genre'; name one of genres"):
        check_attribute(dataset, ImageEvaluation(attribute="genre"))
