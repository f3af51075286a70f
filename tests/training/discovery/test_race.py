"""Race and mix on figures that are made up, and short trainings on a real, small graph."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from recsvc.data import read_dataset
from recsvc.data.graph import build_graph
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks
from training.graph.config import GraphConfig
from training.graph.counting import count_walks
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.hidden import hide_for_search
from training.graph.discovery.mix import greedy_mix
from training.graph.discovery.race import race
from training.graph.discovery.trials import Bench, Trial, chosen_score, judge, short_walks
from training.graph.links import LinkQuestions
from training.progress import Reporter

QUIET = Reporter(quiet=True)
CONTROL = MetaPath(("x",), (), "*", free=True)


def path(name):
    return MetaPath(("x", "x"), (), name)


@dataclass
class MadeUp:
    """A bench whose figures are those of a function of shares, budget and seed."""

    value: object
    search: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    score: str = "xy"

    def __post_init__(self):
        self.config = GraphConfig(discovery=self.search)
        self.asked = []

    def short(self, paths, weights, tokens_per_node, seed=0):
        shares = {str(path): weight / sum(weights) for path, weight in zip(paths, weights, strict=True)}
        self.asked.append((shares, tokens_per_node, seed))
        value = self.value(shares, tokens_per_node, seed)
        figures = {f"{score}_{metric}": value for score in ("cosine", "xy") for metric in ("auc", "mrr")}
        return Trial(tuple(paths), tuple(weights), figures, value, tokens_per_node, 10, 0.1)


def test_the_better_half_goes_on():
    worth = {"a": 0.5, "b": 0.9, "c": 0.7, "d": 0.6, "e": 0.8, "*": 0.1}
    bench = MadeUp(lambda shares, budget, seed: worth[min(shares)] + budget / 1e4 + seed / 1e3)
    bench = MadeUp(bench.value, DiscoveryConfig(rounds=3, tokens_per_node=80, noise_seeds=3))
    found = race(bench, [path(name) for name in "abcde"], CONTROL, QUIET)
    assert found.rounds == (20, 40, 80)
    assert [str(each) for each in found.ranking] == list("becda")
    assert {str(each): len(trials) for each, trials in found.trials.items()} == {
        "a": 1, "b": 3, "c": 2, "d": 1, "e": 3, "*": 3,
    }  # fmt: skip
    leader = [0.9 + 0.008 + seed / 1e3 for seed in range(3)]
    np.testing.assert_allclose(found.noise_values, leader)
    assert found.noise == pytest.approx(np.sqrt(2) * np.std(leader, ddof=1))


def test_a_late_winner_leads():
    # c is last at 10 tokens a node but one of the half that goes on, and the best at 20.
    worth = {("a", 10): 0.9, ("b", 10): 0.5, ("c", 10): 0.6, ("a", 20): 0.91, ("c", 20): 0.95}
    bench = MadeUp(
        lambda shares, budget, seed: worth.get((min(shares), budget), 0.0),
        DiscoveryConfig(rounds=2, tokens_per_node=20, noise_seeds=2),
    )
    found = race(bench, [path(name) for name in "abc"], CONTROL, QUIET)
    assert [str(each) for each in found.ranking] == list("cab")


def mixed(value, names="abc", helpers="", **settings):
    bench = MadeUp(value, DiscoveryConfig(rounds=1, tokens_per_node=10, noise_seeds=2, **settings))
    raced = race(bench, [path(name) for name in names], CONTROL, QUIET)
    bench.asked.clear()
    return greedy_mix(bench, raced, [path(name) for name in helpers], QUIET), bench


def test_a_poor_path_that_adds_something_is_mixed_in():
    def value(shares, budget, seed):
        # a is best alone; half a half b is better; c is noise; the seed moves the figure by 0.01.
        gain = 4 * shares.get("a", 0) * shares.get("b", 0) * 0.1
        return 0.5 + 0.2 * shares.get("a", 0) + gain - 0.3 * shares.get("c", 0) + seed * 0.01 / np.sqrt(2)

    found, bench = mixed(value)
    shares = {str(each): share for each, share in found.trial.shares.items()}
    # By 1/4, 1/2 and 3/4 of b: 0.5 + 0.15 + 0.075, 0.5 + 0.1 + 0.1 and less, against 0.7 without it.
    assert shares == pytest.approx({"a": 0.75, "b": 0.25})
    assert [sorted(shares) for shares, _, _ in bench.asked] == [["a", "b"], ["a", "c"], ["a", "b"], ["a", "b"]]
    assert len(found.steps) == 1  # c lost more than the noise, and was not tried again


def test_a_gain_below_the_noise_is_no_gain():
    def value(shares, budget, seed):
        return 0.7 + 0.005 * (len(shares) > 1) + seed * 0.01

    found, _ = mixed(value, names="ab")
    assert [str(each) for each in found.trial.paths] == ["a"] and len(found.steps) == 1
    found, _ = mixed(lambda shares, budget, seed: value(shares, budget, 0), names="ab")
    assert len(found.trial.paths) == 2


def test_a_mix_has_its_limit():
    found, _ = mixed(lambda shares, budget, seed: float(len(shares)), names="abcdef", max_mixed=3)
    assert len(found.trial.paths) == 3
    helped, _ = mixed(lambda shares, budget, seed: 0.5 + 0.1 * ("z" in shares), names="ab", helpers="z")
    assert sorted(str(each) for each in helped.trial.paths) == ["a", "z"]
    alone, bench = mixed(lambda shares, budget, seed: 0.5, names="a")
    assert [str(each) for each in alone.trial.paths] == ["a"] and bench.asked == []


@pytest.fixture(scope="module")
def graph(areas):
    return build_graph(read_dataset(areas).graph)


@pytest.mark.parametrize("tokens", [6, 50, 230])
def test_walks_give_the_tokens_asked_for(graph, tokens):
    texts = ["author-paper-author", "author-paper-venue-paper-author"]
    for count in (1, 2):
        paths = [parse_meta_path(text, graph) for text in texts[:count]]
        nodes = 120 + 240 + 8 * (count == 2)
        walks = short_walks(graph, paths, [1.0, 3.0][:count], tokens, WalkConfig(starts=("author",)))
        assert walks.starts == () and walks.length <= 100
        plan = plan_walks(graph, paths, [1.0, 3.0][:count], walks, 0)
        assert count_walks(plan, 1).nodes.sum() == pytest.approx(tokens * nodes, rel=0.1)


def test_a_training_has_its_limit(graph):
    config = GraphConfig(discovery=DiscoveryConfig(dim=16, max_tokens=3600))
    search, _ = hide_for_search(graph, 0, config.discovery, 0)
    trial = Bench(search, config, 1, QUIET).short([parse_meta_path("author-paper-author", graph)], [1.0], 1000)
    assert trial.tokens_per_node == 10 and trial.tokens == pytest.approx(3600, rel=0.1)


def test_a_bench_is_deterministic_and_tells_paths_apart(graph):
    config = GraphConfig(discovery=DiscoveryConfig(dim=16))
    search, _ = hide_for_search(graph, 0, config.discovery, 0)
    bench = Bench(search, config, 1, QUIET)
    by_venue, by_year = (parse_meta_path(f"author-paper-{name}-paper-author", graph) for name in ("venue", "year"))
    first, again, other = bench.short([by_venue], [1.0], 100), bench.short([by_venue], [1.0], 100), None
    assert first.figures == again.figures
    other = bench.short([by_venue], [1.0], 100, seed=1)
    assert other.figures != first.figures
    assert first.value == first.figures["xy_auc"] > 0.8
    assert bench.short([by_year], [1.0], 100).value < 0.6


def test_scores_by_rule_and_by_wish():
    def score(rule, wish):
        return chosen_score(GraphConfig.model_validate({"skip_gram": {"rule": rule}, "discovery": {"score": wish}}))

    assert [score(rule, "rule") for rule in ("any", "context-type", "input-type")] == ["xy", "xy", "cosine"]
    assert score("input-type", "xy") == "xy" and score("any", "cosine") == "cosine"


def test_what_no_walk_reaches_is_last():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    questions = LinkQuestions(np.array([0]), np.array([1]), np.array([[2, 3]]))
    everything = np.ones(4, np.bool_)
    assert judge(questions, vectors, vectors, everything)["cosine_auc"] == 1.0
    without = np.array([True, False, True, True])
    assert judge(questions, vectors, vectors, without)["cosine_auc"] == 0.0
    nobody = np.array([False, True, True, True])
    assert judge(questions, vectors, vectors, nobody)["xy_auc"] == 0.5
