"""Evaluation of next-item scorers: one pass, sampled negatives, buckets, intervals, and the protocol beside them."""

import hashlib
import math

import numpy as np
import pytest

from recsvc.data import HistoryConfig, IdIndex, InteractionLog, leave_one_out, read_dataset, temporal
from recsvc.metrics.ranking import ranking_metrics
from recsvc.search.topk import top_k
from training import fit
from training.sequence.baselines import item_knn_scorer, popularity_scorer
from training.sequence.breakdown import breakdown, cold_and_warm
from training.sequence.config import EvaluationConfig, ItemKnnConfig
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import evaluate_ranks, judge, targets_in_history
from training.sequence.evaluation import intervals
from training.sequence.negatives import draw_negatives
from training.sequence.protocol import order_checksum, protocol_facts


def make_log(rows, *, times=None, users=None):
    return InteractionLog(
        items=np.array([item for row in rows for item in row], np.int32),
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        timestamps=times,
        weights=None,
        users=IdIndex.from_ids(users or [f"u{n}" for n in range(len(rows))]),
        item_ids=IdIndex.from_ids(f"i{n}" for n in range(40)),
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 40, size=rng.integers(3, 30)).tolist() for _ in range(60)]
    rows[0] = [0, 1, 2]
    log = make_log(rows)
    return prepare_sequences(log, leave_one_out(log, validation_users=5, seed=0))


def test_one_pass_gives_ranks_and_the_lists_of_the_service(data):
    scorer = item_knn_scorer(data, ItemKnnConfig())
    for exclude_seen in (True, False):
        judged = judge(scorer, data, data.test, exclude_seen=exclude_seen, list_length=7)
        np.testing.assert_array_equal(judged.ranks, evaluate_ranks(scorer, data, data.test, exclude_seen=exclude_seen))
        for n, found in enumerate(judged.lists.tolist()):
            begin, end = data.test.begins[n], data.test.ends[n]
            (scores,) = scorer(np.array([begin]), np.array([end]))
            assert found == top_k(scores, 7, data.items[begin:end] if exclude_seen else None).tolist()
            target = data.test.items[n]
            if judged.ranks[n] <= 7 and judged.ranks[n] == int(judged.ranks[n]):
                assert found[int(judged.ranks[n]) - 1] == target


def test_seen_items_never_stand_in_a_list(data):
    judged = judge(popularity_scorer(data), data, data.test, exclude_seen=True, list_length=40)
    for n, found in enumerate(judged.lists):
        history = set(data.items[data.test.begins[n] : data.test.ends[n]].tolist())
        listed = found[found >= 0].tolist()
        assert history.isdisjoint(listed) and len(listed) == data.num_items - len(history)


def test_targets_in_their_own_history(data):
    found = targets_in_history(data, data.test)
    spans = zip(data.test.begins, data.test.ends, data.test.items, strict=True)
    assert found.tolist() == [target in data.items[begin:end].tolist() for begin, end, target in spans]
    assert 0 < found.sum() < len(found)


def test_negatives_are_unseen_distinct_and_drawn_by_popularity(data):
    drawn = draw_negatives(data, data.test, 5, 0)
    np.testing.assert_array_equal(drawn, draw_negatives(data, data.test, 5, 0))
    for n, row in enumerate(drawn.tolist()):
        taken = {*data.items[data.test.begins[n] : data.test.ends[n]].tolist(), int(data.test.items[n])}
        assert len(set(row)) == 5 and taken.isdisjoint(row) and min(row) >= 0
    # The first user has seen items 0 and 1 and is asked for item 2: count who is drawn first over many seeds.
    first = [int(draw_negatives(data, data.test, 1, seed)[0, 0]) for seed in range(3000)]
    rates = data.counts.astype(float)
    rates[np.flatnonzero(np.isin(data.vocabulary, [0, 1, 2]))] = 0
    found = np.bincount(first, minlength=data.num_items) / 3000
    np.testing.assert_allclose(found, rates / rates.sum(), atol=0.02)


def test_fewer_unseen_items_than_negatives(data):
    drawn = draw_negatives(data, data.test, 100, 0)
    for n, row in enumerate(drawn.tolist()):
        taken = {*data.items[data.test.begins[n] : data.test.ends[n]].tolist(), int(data.test.items[n])} - {-1}
        assert sorted(item for item in row if item >= 0) == sorted(set(range(data.num_items)) - taken)


def test_sampled_ranks_equal_a_loop_and_flatter(data):
    scorer, drawn = popularity_scorer(data), draw_negatives(data, data.test, 8, 1)
    judged = judge(scorer, data, data.test, exclude_seen=True, list_length=3, negatives=drawn)
    in_history = targets_in_history(data, data.test)
    for n, rank in enumerate(judged.sampled_ranks):
        target = data.test.items[n]
        (scores,) = scorer(data.test.begins[n : n + 1], data.test.ends[n : n + 1])
        others = scores[drawn[n][drawn[n] >= 0]]
        expected = 1 + (others > scores[target]).sum() + (others == scores[target]).sum() / 2
        assert rank == (math.inf if in_history[n] or target < 0 else expected)
    assert (judged.sampled_ranks <= judged.ranks).all()


def test_breakdown_and_cold_targets_equal_loops():
    rows = [[0, 1, 2, 3], [1, 0, 3, 2], [0, 1], [0, 2, 1, 9], [1, 3, 8]]
    times = np.array([1, 2, 3, 12, 1, 2, 3, 11, 1, 2, 1, 2, 3, 14, 4, 7, 13.0])
    log = make_log(rows, times=times)
    data = prepare_sequences(log, temporal(log, validation_from=6.0, test_from=10.0))
    ranks = {"model": np.array([1.0, 3.0, math.inf, math.inf]), "popularity": np.array([2.0, 11.0, math.inf, math.inf])}
    assert (data.test.items < 0).tolist() == [False, False, True, True]  # items 9 and 8 come after the cut
    found = cold_and_warm(data.test, ranks, 10)
    assert found["cold"] == {"targets": 2, **{name: {"hr@10": 0.0, "ndcg@10": 0.0} for name in ranks}}
    assert found["warm"]["model"] == {"hr@10": 1.0, "ndcg@10": (1 + 1 / 2) / 2}
    assert found["total"]["targets"] == 4
    for name, own in ranks.items():
        metrics = ranking_metrics(own, (10,))
        assert found["total"][name] == {metric: metrics[metric] for metric in ("hr@10", "ndcg@10")}
    tables = breakdown(data, data.test, ranks, 10)
    lengths = data.test.ends - data.test.begins
    assert [(row["bucket"], row["targets"]) for row in tables["history_length"]] == [("1-4", len(lengths))]
    frequencies = {row["bucket"]: row["targets"] for row in tables["target_frequency"]}
    assert frequencies == {"0": 2, "1-4": 2}
    weighed = sum(row["targets"] * row["model"]["ndcg@10"] for row in tables["target_frequency"])
    assert weighed / 4 == pytest.approx(found["total"]["model"]["ndcg@10"])


def test_no_cold_target_is_said_with_a_count_alone(data):
    warm = data.test
    assert (warm.items >= 0).all()
    assert cold_and_warm(warm, {"model": np.ones(len(warm))}, 10)["cold"] == {"targets": 0}


def test_the_model_is_compared_with_the_best_baseline():
    rng = np.random.default_rng(0)
    weak, strong = rng.integers(1, 60, 500).astype(float), rng.integers(1, 30, 500).astype(float)
    found = intervals({"model": np.maximum(1.0, strong - 3), "weak": weak, "strong": strong})
    assert found["best_baseline"] == "strong"
    gain = found["model_minus_best_baseline"]["ndcg@10"]
    assert 0 < gain["low"] < gain["mean"] < gain["high"]
    wide = found["model"]["ndcg@10"]
    assert wide["high"] - wide["low"] > 0 and wide["low"] < wide["mean"] < wide["high"]


def test_the_checksum_is_of_the_order():
    def digest(text):
        return hashlib.sha256(text.encode()).hexdigest()

    rows = [[0, 5], [1, 6], [2, 7]]
    numeric = make_log(rows, users=["10", "9", "100"])
    assert order_checksum(numeric) == digest("9,i6\n10,i5\n100,i7\n")
    assert order_checksum(make_log(rows, users=["10", "9", "x"])) == digest("10,i5\n9,i6\nx,i7\n")
    swapped = make_log([[5, 0], *rows[1:]], users=["10", "9", "100"])
    assert order_checksum(swapped) != order_checksum(numeric)


def test_the_protocol_counts_what_nobody_can_hit(data):
    log = make_log([[0, 1, 0], [0, 1, 2, 3], [1, 0, 2, 9]])
    split = leave_one_out(log, validation_users=1, seed=0)
    prepared = prepare_sequences(log, split)
    facts = protocol_facts(log, split, prepared, EvaluationConfig(), kind="leave-one-out", max_history=2)
    assert (facts["targets"], facts["targets_not_in_training"], facts["targets_already_in_history"]) == (3, 2, 1)
    assert facts["items_ranked"] == 3 and "in their own history" in facts["misses"]
    repeating = protocol_facts(
        log, split, prepared, EvaluationConfig(exclude_seen=False), kind="temporal", max_history=2
    )
    assert "nothing excluded" in repeating["ranking"] and "own history" not in repeating["misses"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, cycle_dataset, small_settings):
    folder = tmp_path_factory.mktemp("ring") / "run"
    settings = small_settings | {"sequence.loop.epochs": 2, "evaluation.sampled_negatives": 5}
    return fit(cycle_dataset, folder, settings=settings, quiet=True).evaluate()["behaviour"]


def test_everything_stands_beside_everything(evaluated):
    baselines = evaluated["baselines"]
    assert list(baselines) == ["popularity", "recent_popularity", "item_knn", "content_knn"]
    assert set(evaluated["protocol"]["baselines"]) == set(baselines)
    for values in baselines.values():
        assert list(values) == list(evaluated["model"])
    for k in (1, 5, 10, 20):
        assert {f"hr@{k}", f"ndcg@{k}", f"mrr@{k}"} <= set(evaluated["model"])
    assert {"coverage@10", "gini@10", "novelty@10", "diversity@10"} <= set(evaluated["model"])


def test_the_parts_agree_with_the_whole(evaluated):
    whole = evaluated["model"]
    assert evaluated["intervals"]["model"]["ndcg@10"]["mean"] == pytest.approx(whole["ndcg@10"])
    assert evaluated["cold_warm"]["total"]["model"]["hr@10"] == pytest.approx(whole["hr@10"])
    best = evaluated["intervals"]["best_baseline"]
    gain = evaluated["intervals"]["model_minus_best_baseline"]["ndcg@10"]["mean"]
    assert gain == pytest.approx(whole["ndcg@10"] - evaluated["baselines"][best]["ndcg@10"])
    for rows in evaluated["breakdown"].values():
        targets = sum(row["targets"] for row in rows)
        assert targets == evaluated["protocol"]["targets"]
        mean = sum(row["targets"] * row["model"]["ndcg@10"] for row in rows) / targets
        assert mean == pytest.approx(whole["ndcg@10"])


def test_sampled_figures_are_labelled_and_flatter(evaluated):
    sampled = evaluated["sampled"]
    assert "not for choosing a model" in sampled["label"] and sampled["negatives"].startswith("5 unseen items")
    assert sampled["popularity"]["ndcg@10"] > evaluated["baselines"]["popularity"]["ndcg@10"]


@pytest.mark.real_data
def test_films_stand_in_the_order_of_the_public_benchmark(real_data):
    log = read_dataset(real_data("ml-1m"), HistoryConfig(min_item_interactions=5)).log
    assert len(log) == 999_611
    assert order_checksum(log) == "3d5a42ec5ac197898fb83f56e836589470643bed94c52ae8c1975573f62ca397"
