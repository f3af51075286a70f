"""What a release makes of many histories at once is what it answers one by one, and what a hand can compute."""

import math

import numpy as np
import pytest

from recsvc.answers import Recommender
from recsvc.answers.bundle import open_bundle
from recsvc.data import IdIndex, InteractionLog
from recsvc.metrics.ranking import target_gains
from recsvc.releases import Store
from training.retrain.gate_reader import Histories, ReleaseReader


@pytest.fixture(scope="module")
def circles(load_support):
    return load_support("circle_release")


@pytest.fixture(scope="module")
def tiny(load_support, tmp_path_factory):
    """A release of odd ids, some without a vector, opened."""
    release = load_support("tiny_release").tiny_release()
    store = Store(tmp_path_factory.mktemp("reader") / "store")
    release_id = release.publish(store)
    return release, open_bundle(store.path_of(release_id), release_id)


def spans(histories):
    sizes = [len(history) for history in histories]
    ends = np.cumsum(sizes).astype(np.int64)
    return Histories(np.array([row for history in histories for row in history], np.int32), ends - sizes, ends)


def test_ndcg_by_hand_with_what_a_release_does_not_know(circles, load_support, tmp_path):
    # The bias alone decides: item 0 before 1 before 2 before 3; nobody has told the release of items 4 and 5.
    bundle = circles.open_circle(
        load_support("tiny_release"),
        tmp_path / "store",
        5,
        flat=True,
        unknown=[4],
        bias=[4, 3, 2, 1, 0],
        popularity=[1, 2, 7, 3, 9],
    )
    log = circles.log_of([[0, 1], [1, 3], [2, 4], [0, 5], [5, 4, 0], [2, 2]], 5)
    reader = ReleaseReader(bundle, log)
    histories = Histories(log.items, log.offsets[:-1], log.offsets[1:] - 1)
    targets = log.items[log.offsets[1:] - 1].astype(np.int64)
    ranks, lists = reader.answers(histories, targets, 3)
    # 1 leads once 0 is out. Of 0, 2, 3 the last is third. 4 has no vector and 5 is in no catalogue: misses. Of 5, 4
    # nothing is known, so popularity answers: 2 (7), 3 (3), 1 (2), 0 (1). What was seen is out.
    assert ranks.tolist() == [1, 3, math.inf, math.inf, 4, math.inf]
    assert lists.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [1, 2, 3], [2, 3, 1], [0, 1, 3]]
    ndcg = target_gains(ranks, 10)["ndcg"].mean()
    assert ndcg == pytest.approx((1 + 1 / math.log2(4) + 1 / math.log2(5)) / 6, abs=1e-12)
    assert reader.knows(np.arange(6)).tolist() == [True, True, True, True, False, False]
    assert reader.popularity_ranks(histories, targets).tolist() == [3, 2, math.inf, math.inf, 4, math.inf]
    several = reader.ranks(histories, np.stack([targets, np.full(6, 3)], axis=1))
    assert several[:, 0].tolist() == ranks.tolist() and several[:, 1].tolist() == [3, 3, 3, 3, 2, 3]


def test_it_answers_as_the_service_does(tiny):
    release, bundle = tiny
    ids = [*release.ids, "nobody's"]
    log = InteractionLog(
        np.zeros(1, np.int32), np.array([0, 1]), None, None, IdIndex.from_ids(["u"]), IdIndex.from_ids(ids)
    )
    rng = np.random.default_rng(0)
    known = [row for row, item_id in enumerate(ids) if item_id in release.ids and release.row_of(item_id) is not None]
    histories = [[*rng.integers(0, len(ids), size=rng.integers(0, 12)).tolist(), rng.choice(known)] for _ in range(200)]
    reader, recommender = ReleaseReader(bundle, log), Recommender(bundle)
    targets = rng.integers(0, len(ids), size=200)
    ranks, lists = reader.answers(spans(histories), targets, 5)
    for history, target, rank, row in zip(histories, targets.tolist(), ranks.tolist(), lists, strict=True):
        answer = recommender.recommend([ids[item] for item in history], k=len(ids), strict=True).items
        wanted = [item.item_id for item in answer]
        assert [ids[item] for item in reader.in_log(row).tolist()] == wanted[:5]
        assert rank == (wanted.index(ids[target]) + 1 if ids[target] in wanted else math.inf)


def test_what_was_seen_can_stay(tiny):
    release, bundle = tiny
    log = InteractionLog(
        np.zeros(1, np.int32), np.array([0, 1]), None, None, IdIndex.from_ids(["u"]), IdIndex.from_ids(release.ids)
    )
    ranks, _ = ReleaseReader(bundle, log, exclude_seen=False).answers(spans([[0, 1]] * 2), np.array([0, 1]), 1)
    assert np.isfinite(ranks).all()
    ranks, _ = ReleaseReader(bundle, log).answers(spans([[0, 1]] * 2), np.array([0, 1]), 1)
    assert np.isinf(ranks).all()
