"""Training in memory: what the first pass counts, whatever the threads, and what training makes of it."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.errors import ConfigError, RunError
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.noise import noise_by_rule
from recsvc.models.graph.plan import plan_walks
from training.graph.counting import BLOCK_WALKS, block_walks, count_walks, num_blocks
from training.graph.model import SkipGram, first_vectors

# The widths and negatives of the tests beside this one and of the kernels' own, so that each is compiled once.
SETTINGS = SkipGramConfig(dim=16, window=3, negatives=5)
RULES = {"dim": 10, "negatives": 4}


def make_graph():
    """Two groups of 20 writers, whose papers never meet; one writer and one paper have no edge."""
    rng = np.random.default_rng(0)
    papers = np.arange(120, dtype=np.int32).repeat(2)
    writers = (papers % 2 * 20 + rng.integers(0, 20, len(papers))).astype(np.int32)
    nodes = {
        "writer": NodeTable(IdIndex.from_ids([f"w{row}" for row in range(41)])),
        "paper": NodeTable(IdIndex.from_ids([f"p{row}" for row in range(121)])),
    }
    key = RelationKey("writer", "wrote", "paper")
    return HeteroGraph(("writer", "paper"), nodes, (Relation.from_edges(key, writers, papers, shape=(41, 121)),))


@pytest.fixture(scope="module")
def graph():
    return make_graph()


@pytest.fixture(scope="module")
def plan(graph):
    return plan_walks(
        graph, [parse_meta_path("writer-paper-writer", graph)], [1], WalkConfig(per_node=20, length=12), 3
    )


def trained(plan, settings=SETTINGS, *, threads=1, seed=3):
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, settings, seed, threads) as model:
        losses = [model.train(block, 1).mean for block in range(num_blocks(plan))]
    return model, losses


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_first_pass_counts_what_training_sees(plan, threads, monkeypatch):
    counts = count_walks(plan, threads)
    seen = np.zeros(plan.num_nodes, np.int64)
    make = type(plan).make

    def watched(self, first, count):
        walks = make(self, first, count)
        seen[:] += np.bincount(walks.tokens, minlength=plan.num_nodes)
        return walks

    monkeypatch.setattr(type(plan), "make", watched)
    with SkipGram(plan, counts, SETTINGS, 3, 1) as model:
        model.train(0, num_blocks(plan))
    np.testing.assert_array_equal(seen, counts.nodes)
    assert counts.total == counts.blocks.sum() == counts.paths.sum() == seen.sum()
    assert counts.blocks.tolist() == count_walks(plan, 1).blocks.tolist()
    assert not counts.nodes[[40, 161]].any() and (np.delete(counts.nodes, [40, 161]) > 0).all()
    assert counts.dead_ends.sum() == 0 or counts.dead_ends.tolist() == count_walks(plan, 1).dead_ends.tolist()


def test_blocks_are_all_walks_once(plan):
    spans = [block_walks(plan, block) for block in range(num_blocks(plan))]
    assert spans[0] == (0, BLOCK_WALKS)
    assert sum(count for _, count in spans) == plan.num_walks
    assert all(first + count == spans[place + 1][0] for place, (first, count) in enumerate(spans[:-1]))


def test_vectors_start_as_in_word2vec():
    vectors = first_vectors(500, 16, seed=1)
    assert vectors.dtype == np.float32 and vectors.shape == (500, 16)
    assert np.abs(vectors).max() <= 1 / 32 and vectors.std() == pytest.approx(1 / 16 / np.sqrt(12), rel=0.02)
    assert not np.array_equal(vectors, first_vectors(500, 16, seed=2))


@pytest.mark.parametrize("rule", ["any", "context-type", "input-type"])
def test_negatives_come_from_the_segments_of_the_rule(plan, rule):
    noise = noise_by_rule(count_walks(plan, 1).nodes, plan.offsets, rule)
    assert noise.offsets.tolist() == ([0, 162] if rule == "any" else [0, 41, 162])


@pytest.mark.parametrize(("rule", "share"), [("context-type", True), ("input-type", True), ("any", False)])
def test_groups_that_never_meet_are_told_apart(plan, rule, share):
    model, losses = trained(plan, SETTINGS.model_copy(update=RULES | {"rule": rule, "share_negatives": share}))
    assert losses[0] == pytest.approx(5 * np.log(2), abs=0.3) and losses[-1] < losses[0] - 0.5
    unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
    cosines = unit[:40] @ unit[:40].T
    np.fill_diagonal(cosines, -1)
    nearest = np.argmax(cosines, axis=1)
    assert np.mean(nearest // 20 == np.arange(40) // 20) > 0.9
    assert cosines[:20, :20].mean() > cosines[:20, 20:].mean() + 0.1


def test_one_thread_gives_the_same_bits(plan):
    first, second = trained(plan)[0], trained(plan)[0]
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.outputs.tobytes() == second.outputs.tobytes()
    assert trained(plan, seed=4)[0].vectors.tobytes() != first.vectors.tobytes()


def test_several_threads_stay_close(plan):
    one, losses = trained(plan)
    counts = count_walks(plan, 2)
    with SkipGram(plan, counts, SETTINGS, 3, 2) as two:
        mean = two.train(0, num_blocks(plan)).mean
    assert mean == pytest.approx(np.mean(losses), rel=0.05)
    unit = [each.vectors / np.linalg.norm(each.vectors, axis=1, keepdims=True) for each in (one, two)]
    assert np.mean(np.sum(unit[0] * unit[1], axis=1)[counts.nodes > 0]) > 0.9


def test_the_step_size_falls_with_the_tokens_done(plan):
    counts = count_walks(plan, 1)
    settings = SETTINGS.model_copy(update={"learning_rate": 0.1, "final_share": 0.01})
    with SkipGram(plan, counts, settings, 0, 1) as model:
        rates = [model.rate(block) for block in range(num_blocks(plan))]
    assert rates[0].first == np.float32(0.1)
    for block, rate in enumerate(rates):
        done = counts.blocks[:block].sum() / counts.total
        assert rate.first == pytest.approx(0.1 * (1 - done), rel=1e-5)
        end = rate.first - rate.drop * counts.blocks[block]
        following = rates[block + 1].first if block + 1 < len(rates) else 0.0
        assert end == pytest.approx(following, abs=1e-6)
        assert rate.floor == pytest.approx(0.001)


def test_rare_and_frequent_nodes_lose_tokens(plan):
    raw = count_walks(plan, 1)
    limit = int(np.quantile(raw.nodes[raw.nodes > 0], 0.1)) + 1
    rare = np.flatnonzero((raw.nodes > 0) & (raw.nodes < limit))
    settings = SETTINGS.model_copy(update={"min_count": limit, "subsample": 0.001, "epochs": 2})
    with SkipGram(plan, raw, settings, 3, 2) as model:
        counts = model.counts
        assert model.blocks == len(counts.blocks) == 2 * num_blocks(plan)
        assert not counts.nodes[rare].any() and counts.nodes.sum() == raw.nodes.sum() - raw.nodes[rare].sum()
        share = 0.001 * counts.nodes.sum() / np.maximum(counts.nodes, 1)
        expected = 2 * np.sum(counts.nodes * np.minimum(1, np.sqrt(share) + share))
        assert expected < 1.9 * raw.total and counts.total == pytest.approx(expected, rel=0.03)
        halves = np.split(counts.blocks, 2)
        assert (halves[0] != halves[1]).any(), "each pass drops others"
        model.train(0, model.blocks)
        first = first_vectors(plan.num_nodes, 16, 3)
        assert np.array_equal(model.vectors[rare], first[rare]) and not model.outputs[rare].any()
        assert model.rate(model.blocks - 1).first == pytest.approx(0.025 * counts.blocks[-1] / counts.total, rel=1e-3)


def test_passes_over_the_same_walks(plan):
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, SETTINGS.model_copy(update={"epochs": 3}), 3, 1) as model:
        assert model.blocks == 3 * num_blocks(plan) and model.counts.total == 3 * counts.total
        assert model.counts.nodes.tolist() == counts.nodes.tolist()
        assert model.rate(num_blocks(plan)).first == pytest.approx(0.025 * 2 / 3, rel=1e-5)


def peak_of_training(plan):
    """Bytes at most while a plan is counted and trained on, without those for each block."""
    tracemalloc.start()
    with SkipGram(plan, count_walks(plan, 1), SETTINGS, 3, 1) as model:
        for first in range(0, model.blocks, 16):
            model.train(first, min(16, model.blocks - first))
    peak = tracemalloc.get_traced_memory()[1] - 32 * model.blocks
    tracemalloc.stop()
    return peak


def print_peaks():
    """Peaks of a training with 20 walks a node and of one with 400."""
    graph = make_graph()
    path = parse_meta_path("writer-paper-writer", graph)
    plans = [plan_walks(graph, [path], [1], WalkConfig(per_node=per_node, length=12), 3) for per_node in (20, 400)]
    peak_of_training(plans[0])  # the kernels are compiled or read
    print(*(peak_of_training(plan) for plan in plans))


def test_memory_does_not_grow_with_the_walks():
    """Twenty times the walks take a few numbers for each block more, and no copy of a walk.

    In a process of its own: what any other thread allocates meanwhile would be counted too.
    """
    program = (
        "import importlib.util as u, sys; spec = u.spec_from_file_location('m', sys.argv[1]); "
        "module = u.module_from_spec(spec); spec.loader.exec_module(module); module.print_peaks()"
    )
    found = subprocess.run([sys.executable, "-c", program, __file__], capture_output=True, text=True, check=True)
    short, long = map(int, found.stdout.split())
    tokens = 41 * 400 * 12
    assert 0 < long < short + tokens, "a copy of the walks takes four bytes a token at least"


def test_a_count_that_no_node_reaches_is_refused(plan):
    settings = SETTINGS.model_copy(update={"min_count": 10**6})
    with pytest.raises(ConfigError, match=r"no walk keeps two tokens: lower graph\.skip_gram\.min_count"):
        SkipGram(plan, count_walks(plan, 1), settings, 3, 1)


def test_divergence_is_told_in_one_sentence(plan):
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, SETTINGS, 0, 1) as model:
        model.vectors[int(plan.make(0, 1).tokens[0])] = np.nan
        with pytest.raises(RunError, match=r"training diverged .*; lower graph\.skip_gram\.learning_rate"):
            model.train(0, 2)


def test_a_table_that_breaks_in_the_last_block_is_noticed(plan):
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, SETTINGS, 0, 1) as model:
        model.outputs[40] = np.nan  # no walk reaches this node, so no loss shows it
        model.train(0, num_blocks(plan) - 1)
        with pytest.raises(RunError, match="training diverged"):
            model.train(num_blocks(plan) - 1, 1)


def test_other_walks_than_those_counted_are_our_fault(plan):
    counts = count_walks(plan, 1)
    counts.blocks[0] += 1
    with SkipGram(plan, counts, SETTINGS, 0, 1) as model, pytest.raises(AssertionError):
        model.train(0, 1)
