"""Next items: each check lets a good challenger through and refuses one that is broken in just that respect."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data import leave_one_out
from training.retrain.gate_behaviour import held_out_items, judge_next_items, popular_items, slices_of
from training.retrain.gate_config import GateConfig
from training.retrain.gate_reader import ReleaseReader

COUNT = 40
CONFIG = GateConfig(slice_users=20)


@pytest.fixture(scope="module")
def circles(load_support):
    return load_support("circle_release")


@pytest.fixture(scope="module")
def opened(circles, load_support, tmp_path_factory):
    """``opened(**options)``: the bundle of a circle of forty items."""

    def make(**options):
        return circles.open_circle(load_support("tiny_release"), tmp_path_factory.mktemp("store"), COUNT, **options)

    return make


@pytest.fixture(scope="module")
def champion(opened):
    return opened()


@pytest.fixture(scope="module")
def log(circles):
    """Walks round the circle; short ones on its first half, long ones on its second."""
    rng = np.random.default_rng(0)
    histories = []
    for user in range(300):
        size, first = (5, 0) if user % 2 else (14, COUNT // 2)
        start = first + int(rng.integers(0, COUNT // 2))
        histories.append([(start + step) % COUNT for step in range(size)])
    return circles.log_of(histories, COUNT, [range(len(each)) for each in histories])


@pytest.fixture
def judged(log):
    """``judged(challenger, champion, **limits)``: the checks by name."""

    def run(challenger, champion, *, until=None, **limits):
        config = CONFIG.model_copy(update=limits)
        split = leave_one_out(log)
        readers = [None if each is None else ReleaseReader(each, log) for each in (challenger, champion)]
        held_out = held_out_items(log, split, config.users)
        popular = popular_items(log, split, config.popular_share)
        return {each.name: each for each in judge_next_items(held_out, *readers, popular, until, config)}

    return run


def swapped(chosen):
    """Places on the circle in which the items of a range stand at random."""
    places = np.arange(COUNT)
    places[chosen] = np.random.default_rng(1).permutation(places[chosen])
    return places


def test_the_champion_itself_passes(champion, judged):
    checks = judged(champion, champion)
    assert all(check.passed for check in checks.values())
    assert {"ndcg@10", "popularity", "coverage", "popular share", "longer histories"} <= checks.keys()
    found = checks["ndcg@10"]
    assert found.measured == 0 and found.interval == (0, 0)
    assert found.sentence == "NDCG@10 1.0000 against 1.0000 (+0.0000 [0.0000, 0.0000], 300 users)"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), users=st.integers(2, 300))
def test_any_champion_passes_beside_itself(opened, judged, seed, users):
    rng = np.random.default_rng(seed)
    bundle = opened(
        places=rng.permutation(COUNT),
        unknown=rng.permutation(COUNT)[: rng.integers(0, COUNT // 2)],
        bias=rng.normal(0, rng.choice([0, 1, 10]), COUNT),
        popularity=rng.integers(0, 50, COUNT),
    )
    until = float(rng.integers(-1, 3))
    checks = judged(bundle, bundle, until=until, users=users, min_over_popularity=0.0, slice_users=2, max_drop=0.0)
    assert all(check.passed for check in checks.values())


def test_a_worse_ranking_is_refused_and_a_better_one_is_not(opened, champion, judged):
    worse = opened(places=swapped(slice(0, COUNT)))
    checks = judged(worse, champion)
    assert not checks["ndcg@10"].passed and checks["ndcg@10"].interval[1] < 0
    assert "lower, beyond chance" in checks["ndcg@10"].sentence
    assert judged(champion, worse)["ndcg@10"].passed


def test_a_large_loss_is_refused_though_it_may_be_chance(opened, champion, judged, log):
    # One of eight users loses its item to the other side of the circle: many resamples leave that user out.
    target = int(held_out_items(log, leave_one_out(log), 8).targets[0])
    places = np.arange(COUNT)
    places[[target, target - COUNT // 2]] = places[[target - COUNT // 2, target]]
    slightly = opened(places=places)
    check = judged(slightly, champion, users=8, chance=0.02)["ndcg@10"]
    assert check.interval[1] == 0 and check.measured < check.limit < 0
    assert not check.passed and "more than the 10% that retrain.gate.max_drop allows" in check.sentence
    assert judged(slightly, champion, users=8, max_drop=1.0, chance=0.02)["ndcg@10"].passed
    check = judged(slightly, champion, users=8, max_drop=1.0, chance=0.1)["ndcg@10"]
    assert not check.passed and "lower, beyond chance" in check.sentence


def test_items_that_the_challenger_does_not_know_are_misses(opened, champion, judged, log):
    forgetful = opened(unknown=range(COUNT // 2, COUNT))
    missed = np.mean(log.items[log.offsets[1:] - 1] >= COUNT // 2)
    # Nor can it read those histories: only some of the others still find their item.
    assert judged(forgetful, champion)["ndcg@10"].measured <= -missed
    assert judged(champion, forgetful)["ndcg@10"].measured >= missed


def test_below_popularity_is_refused_in_a_first_release_too(opened, champion, judged, log):
    counts = np.bincount(log.items, minlength=COUNT)
    broken = opened(flat=True, bias=-counts.astype(float), popularity=counts)
    (check,) = judged(broken, None).values()
    assert check.name == "popularity" and not check.passed and "below 1 times popularity" in check.sentence
    (check,) = judged(broken, None, min_over_popularity=0.0).values()
    assert check.passed
    (check,) = judged(champion, None).values()
    assert check.passed


def test_lists_that_cover_little_are_refused(opened, champion, judged):
    same_for_all = opened(flat=True, bias=-np.arange(COUNT, dtype=float))
    checks = judged(same_for_all, champion, max_drop=1.0)
    assert not checks["coverage"].passed and checks["coverage"].measured < 0.7
    assert "less than 70% of the champion's" in checks["coverage"].sentence
    assert judged(same_for_all, champion, min_coverage_ratio=0.2)["coverage"].passed


def test_lists_of_popular_items_are_refused(opened, champion, judged, log):
    counts = np.bincount(log.items, minlength=COUNT)
    popular = np.argsort(-counts, kind="stable")[:8]
    bias = np.zeros(COUNT)
    bias[popular] = 10
    limits = {"popular_share": 0.2, "min_coverage_ratio": 0.0}
    checks = judged(opened(bias=bias), champion, **limits)
    assert not checks["popular share"].passed and checks["popular share"].measured > 0.4
    assert judged(champion, opened(bias=bias), **limits)["popular share"].passed
    assert judged(opened(bias=bias), champion, max_popular_rise=1.0, **limits)["popular share"].passed


def test_a_slice_that_loses_is_refused_by_itself(opened, champion, judged):
    worse_for_short = opened(places=swapped(slice(3, COUNT // 2 - 1)))
    checks = judged(worse_for_short, champion, max_drop=1.0)
    name = "histories of fewer than 10 events"
    assert not checks[name].passed and "beyond chance" in checks[name].sentence
    assert checks["longer histories"].measured > checks[name].measured
    assert judged(worse_for_short, champion, slice_max_drop=1.0)[name].passed
    assert name not in judged(worse_for_short, champion, slice_users=200)


def test_new_and_returning_users_are_slices_where_it_is_known_who_is_new(log):
    held_out = held_out_items(log, leave_one_out(log), 1000)
    assert "new users" not in slices_of(held_out, None, CONFIG)
    since = held_out.since.copy()
    since[:10] = 100.0
    found = slices_of(type(held_out)(held_out.histories, held_out.targets, since), 50.0, CONFIG)
    assert np.flatnonzero(found["new users"]).tolist() == list(range(10))
    assert (found["returning users"] == ~found["new users"]).all()


def test_the_same_users_are_asked_whatever_their_order(circles, log):
    split = leave_one_out(log)
    few = held_out_items(log, split, 50)
    assert len(few) == 50
    histories = [log.history(user).tolist() for user in range(log.num_users)]
    turned = circles.log_of(histories[::-1], COUNT)
    turned = type(turned)(
        turned.items,
        turned.offsets,
        None,
        None,
        type(log.users).from_ids(list(log.users)[::-1]),
        turned.item_ids,
    )
    again = held_out_items(turned, leave_one_out(turned), 50)
    assert sorted(again.targets.tolist()) == sorted(few.targets.tolist())
