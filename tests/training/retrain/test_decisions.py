"""The log of decisions: only ever added to, never twice the same, and no crash makes it unreadable."""

from dataclasses import replace

import pytest

from training.retrain.decisions import Decision, DecisionLog

KEPT = Decision("k1", "kept", "worse", release="r1", champion="r0", begun="2026-11-29T01:00:00+00:00")


class Killed(BaseException):
    """Stands for `kill -9`."""


def add(log: DecisionLog, decision: Decision) -> None:
    log.add(decision, midway=lambda: None)


def test_what_is_added_is_read_back(tmp_path):
    log = DecisionLog(tmp_path)
    assert log.all() == []
    add(log, KEPT)
    other = Decision(
        "k2", "published", "better", checks=[{"name": "ndcg@10", "interval": [0.1, 0.2]}], seconds={"data": 1.5}
    )
    add(log, other)
    assert DecisionLog(tmp_path).all() == [KEPT, other]
    assert log.of_key("k2") == [other]
    assert log.of_attempt("k1", KEPT.begun) == KEPT and log.of_attempt("k1", "2026-11-30T01:00:00+00:00") is None


def test_a_key_is_not_told_the_same_twice_in_a_row(tmp_path):
    log = DecisionLog(tmp_path)
    refused = Decision("k1", "refused", "too few", begun="a")
    for decision in (
        refused,
        replace(refused, begun="b"),
        KEPT,
        replace(KEPT, time="later"),
        replace(refused, begun="c"),
    ):
        add(log, decision)
    assert [decision.decision for decision in log.all()] == ["refused", "kept", "refused"]


def test_a_torn_line_is_cut_off_and_a_rotten_one_left_out(tmp_path):
    log = DecisionLog(tmp_path)
    add(log, KEPT)

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        log.add(replace(KEPT, key="k2"), midway=die)
    assert log.all() == [KEPT]
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes() + b'}\n[1]\n{"key": 1}\n')
    third = replace(KEPT, key="k3")
    add(log, third)
    assert log.all() == [KEPT, third]
    assert path.read_bytes().endswith(b"}\n")


def test_sentences():
    assert KEPT.sentence == "kept r0, not r1: worse"
    assert replace(KEPT, champion=None).sentence == "kept no release, not r1: worse"
    assert replace(KEPT, decision="published").sentence == "published r1: worse"
    assert replace(KEPT, decision="refused").sentence == "refused: worse"


def test_cold_spaces_that_lost_to_a_release_are_found(tmp_path):
    log = DecisionLog(tmp_path)
    starts = {"behaviour": {"kind": "cold"}, "image": {"kind": "kept"}}
    add(log, replace(KEPT, starts=starts))
    add(log, replace(KEPT, key="k2", decision="published", champion="r1", starts=starts))
    assert log.lost_cold("r0") == {"behaviour"}
    assert log.lost_cold("r1") == set() == log.lost_cold(None)
