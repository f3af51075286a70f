"""The real data sets: their published counts, and the order that published figures rest on."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsvc.data import HistoryConfig, SplitConfig, describe, make_split, read_dataset
from recsvc.data.graph import build_graph, infer_item_type, training_interactions
from recsvc.pictures import decode_picture

pytestmark = pytest.mark.real_data


def test_movielens_1m(real_data: Callable[[str], Path]) -> None:
    dataset = read_dataset(real_data("ml-1m"))
    assert dataset.log is not None
    facts = describe(dataset)
    assert (facts["users"], facts["items"], facts["interactions"]) == (6040, 3706, 1_000_209)
    assert len(dataset.items) == dataset.log.num_items == 3883
    assert facts["items listed but without interactions"] == 177
    assert dataset.items[0].attributes["genres"] == ["Animation", "Children's", "Comedy"]
    assert set(dataset.files) == {"edges", "images", "interactions", "items"}
    assert facts["nodes"] == "movie 3,883, genre 18, director 2,186, actor 7,977"
    assert dataset.graph is not None and dataset.graph.num_edges == 25_996
    assert infer_item_type(dataset.graph, dataset.log.item_ids) == "movie"
    assert dataset.images is not None and len(dataset.images) == 3256
    assert facts["items without a picture"] == 3883 - 3256
    split = make_split(dataset.log, SplitConfig())
    assert split.training_counts(dataset.log).sum() == 1_000_209 - 6040 - 2048
    assert len(split.test_users) == 6040
    seen = training_interactions(dataset.log, split, user_type="user", relation="rated", item_type="movie")
    graph = build_graph(dataset.graph, seen)
    assert len(graph.relations[-1]) == 1_000_209 - 6040 - 2048  # nobody rates a film twice
    assert graph.offsets.tolist() == [0, 3883, 3901, 6087, 14064, 20104]


def test_the_last_items_of_movielens_1m_are_those_of_the_benchmark(real_data: Callable[[str], Path]) -> None:
    """The checksum that all published ML-1M figures rest on: stable time sort, items with >= 5 ratings."""
    log = read_dataset(real_data("ml-1m"), HistoryConfig(min_item_interactions=5, min_user_interactions=5)).log
    assert log is not None
    assert len(np.unique(log.items)) == 3416
    assert len(log) == 999_611
    last = {user: log.item_ids.id_of(int(log.history(row)[-1])) for row, user in enumerate(log.users)}
    lines = "".join(f"{user},{last[str(user)]}\n" for user in range(1, 6041))
    expected = "3d5a42ec5ac197898fb83f56e836589470643bed94c52ae8c1975573f62ca397"
    assert hashlib.sha256(lines.encode()).hexdigest() == expected


def test_movielens_with_times_is_in_the_same_order(real_data: Callable[[str], Path]) -> None:
    """The same ratings with and without timestamps: our stable sort gives the order of the benchmark's file."""
    timed, untimed = (read_dataset(real_data(name)).log for name in ("ml-1m-timed", "ml-1m"))
    assert timed is not None
    assert untimed is not None
    assert timed.timestamps is not None
    assert timed.num_users == 2999
    counts = np.bincount(untimed.items, minlength=untimed.num_items)
    rated_often = {untimed.item_ids.id_of(int(row)) for row in np.flatnonzero(counts >= 5)}
    for row, user in enumerate(timed.users):
        other = untimed.users.row_of(user)
        assert other is not None
        ours = [item for item in timed.item_ids.ids_of(timed.history(row)) if item in rated_often]
        theirs = [item for item in untimed.item_ids.ids_of(untimed.history(other)) if item in rated_often]
        assert ours == theirs
    split = make_split(timed, SplitConfig(kind="temporal"))
    assert timed.timestamps[split.test_positions].min() > timed.timestamps[split.validation_positions].max()


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [("amazon-beauty-5core", 22_363, 12_101, 198_502), ("yoochoose-100k", 21_210, 2_933, 83_845)],
)
def test_other_real_data(
    real_data: Callable[[str], Path], name: str, users: int, items: int, interactions: int
) -> None:
    facts = describe(read_dataset(real_data(name)))
    assert (facts["users"], facts["items"], facts["interactions"]) == (users, items, interactions)


def test_a_graph_without_interactions_is_a_data_set_too(real_data: Callable[[str], Path]) -> None:
    dataset = read_dataset(real_data("dblp-four-area"))
    assert dataset.log is None
    assert set(dataset.files) == {"edges", "nodes"}
    assert dataset.notes == ("nodes.csv: 313 values of 'name' had NUL bytes, for which U+FFFD was put.",)
    facts = describe(dataset)
    assert facts["nodes"] == "author 14,475, venue 20, paper 14,376, term 8,920"
    assert facts["nodes without an edge"] == "none"
    assert facts["labels of nodes"] == "author 4,057 in 4 classes; venue 20 in 4 classes"
    assert dataset.graph is not None
    graph = build_graph(dataset.graph)
    counts = {str(relation.key): len(relation) for relation in graph.relations}
    assert counts == {
        "paper-[written_by]-author": 41_794,
        "paper-[published_in]-venue": 14_376,
        "paper-[has_term]-term": 114_624,
    }
    published = graph.relations[1]
    assert (published.forward.degrees == 1).all()  # a paper has one venue
    venues = graph.nodes["venue"]
    assert venues.names is not None and "KDD" in venues.names
    row = venues.names.index("KDD")
    papers = published.inverse.neighbours[published.inverse.indptr[row] : published.inverse.indptr[row + 1]]
    assert (published.targets[np.isin(published.sources, papers)] == row).all()
    assert len(papers) == (published.targets == row).sum() > 0


@pytest.mark.parametrize(
    ("name", "splits", "side"),
    [
        ("cifar10", {"train": 50_000, "test": 10_000}, 32),
        ("clothing-small", {"train": 3068, "validation": 341, "test": 372}, 128),
    ],
)
def test_pictures_alone_are_a_data_set_too(
    real_data: Callable[[str], Path], name: str, splits: dict[str, int], side: int
) -> None:
    dataset = read_dataset(real_data(name))
    images = dataset.images
    assert images is not None
    assert (dataset.log, dataset.graph, len(dataset.items)) == (None, None, 0)
    assert Counter(images.splits) == splits
    assert images.labels is not None and len(set(images.labels)) == 10
    assert images.sizes.min() == side
    assert images.formats == {"JPEG": sum(splits.values())}
    pixels = [decode_picture(images.read(row)) for row in range(0, len(images), 97)]
    sizes = [[each.shape[1], each.shape[0]] for each in pixels]
    assert sizes == images.sizes[::97].tolist()
    assert 100 < np.mean([each.mean() for each in pixels]) < 210  # pictures, and neither black nor white
