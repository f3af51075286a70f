"""What the champion says of new events: honest ones pass, mixed up and turned round ones do not."""

import numpy as np
import pytest

from recsvc.data import leave_one_out
from training.retrain.gate_config import GateConfig
from training.retrain.gate_new_events import judge_new_events, newest_event
from training.retrain.gate_reader import ReleaseReader

COUNT = 60
CUT = 1000.0
"""The champion's newest event."""


@pytest.fixture(scope="module")
def circles(load_support):
    return load_support("circle_release")


@pytest.fixture(scope="module")
def bundle(circles, load_support, tmp_path_factory):
    return circles.open_circle(load_support("tiny_release"), tmp_path_factory.mktemp("store"), COUNT)


def walks(*, users=80, seed=0):
    """Items and times of users who go round the circle with slips: some old, some returning, some new."""
    rng = np.random.default_rng(seed)
    found = []
    for user in range(users):
        old = 0 if user % 4 == 3 else 8
        new = 0 if user % 4 == 0 else 10
        start = int(rng.integers(0, COUNT))
        items = [(start + step + int(rng.random() < 0.1)) % COUNT for step in range(old + new)]
        times = [*np.linspace(1, CUT, old), *np.linspace(CUT + 1, CUT + 86_400, new)]
        found.append((items, times))
    return found


def as_they_are(events, rng):
    return events


def shuffled_items(events, rng):
    users, items, times = events
    return users, rng.permutation(items), times


def scrambled_users(events, rng):
    users, items, times = events
    return rng.permutation(users), items, times


def turned_round(events, rng):
    users, items, times = events
    return users, items, times.max() + times.min() - times


@pytest.fixture
def judged(circles, bundle):
    """``judged(poison, **settings)``: the checks by name on walks whose new events a poison has broken."""

    def run(poison, *, until=CUT, timed=True, users=80, **settings):
        events = [
            np.array(
                [value for user, (items, times) in enumerate(walks(users=users)) for value in of(user, items, times)]
            )
            for of in (lambda u, i, t: [u] * len(i), lambda u, i, t: i, lambda u, i, t: t)
        ]
        new = events[2] > CUT
        broken = poison(tuple(each[new] for each in events), np.random.default_rng(0))
        users_of, items, times = (np.concatenate([each[~new], part]) for each, part in zip(events, broken, strict=True))
        order = np.lexsort((times, users_of))
        rows = [order[users_of[order] == user] for user in np.unique(users_of)]
        log = circles.log_of(
            [items[each].astype(int).tolist() for each in rows],
            COUNT,
            [times[each].tolist() for each in rows] if timed else None,
        )
        reader = ReleaseReader(bundle, log)
        checks = judge_new_events(reader, log, leave_one_out(log), until, GateConfig(**settings))
        return {check.name: check for check in checks}

    return run


def test_honest_events_pass(judged):
    checks = judged(as_they_are)
    assert all(check.passed for check in checks.values()) and set(checks) == {"new events", "order"}
    assert checks["new events"].interval[0] > 0.5 and checks["order"].interval[0] > 0
    assert "the champion tells new events from other users' by NDCG@10 +" in checks["new events"].sentence


@pytest.mark.parametrize("poison", [shuffled_items, scrambled_users])
def test_events_that_are_mixed_up_are_refused(judged, poison):
    checks = judged(poison)
    found = checks["new events"]
    assert not found.passed and found.measured < found.limit and "mixed up" in found.sentence
    assert judged(poison, min_champion_ratio=0.0)["new events"].passed


def test_events_in_the_wrong_order_are_refused(judged):
    found = judged(turned_round)["order"]
    assert not found.passed and found.interval[1] < 0 and "wrong order" in found.sentence
    assert judged(turned_round, refuse_reversed=False)["order"].passed


def test_nothing_is_said_without_times_or_users(judged):
    for found, why in (
        (judged(shuffled_items, until=None), "its manifest does not say when"),
        (judged(shuffled_items, timed=False), "the interactions have no times"),
    ):
        assert found["new events"].passed and why in found["new events"].sentence
    found = judged(shuffled_items, new_users=1000)
    assert found["new events"].passed and "1000 are needed" in found["new events"].sentence
    assert judged(as_they_are, until=1e9)["new events"].measured is None


def test_nothing_is_said_by_a_champion_that_cannot_tell_its_own(circles, load_support, tmp_path):
    log = circles.log_of([items for items, _ in walks()], COUNT, [times for _, times in walks()])
    flat = circles.open_circle(load_support("tiny_release"), tmp_path, COUNT, flat=True)
    checks = judge_new_events(ReleaseReader(flat, log), log, leave_one_out(log), CUT, GateConfig())
    assert checks[0].passed


def test_the_newest_event_is_read_from_the_profile():
    assert newest_event({"profile": {"last": 12.5}}) == 12.5
    assert (
        newest_event({"profile": {}}) is None and newest_event({}) is None and newest_event({"profile": None}) is None
    )
