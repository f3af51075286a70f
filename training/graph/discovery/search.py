"""`recsvc metapaths`: find the meta-paths of a data set's graph, and how much of each, without labels.

Enumerate from the schema, discard by statistics, race the rest on hidden links, mix greedily. The links that the choice
is made by, and those that it is judged by at the end, are hidden from every training of the search; the latter train
nothing before the end.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsvc.data.graph import HeteroGraph, RelationKey
from recsvc.errors import ConfigError
from recsvc.models.graph.automatic import anchor_type
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import start_types
from training.graph.config import GraphConfig
from training.graph.discovery.discard import Candidate, judge_candidates
from training.graph.discovery.enumerate import closed_paths, same_path
from training.graph.discovery.hidden import hide_for_search
from training.graph.discovery.link import asked_relation, check_type, parse_link
from training.graph.discovery.mix import Mix, greedy_mix
from training.graph.discovery.race import Race, race
from training.graph.discovery.trials import Bench, Trial, nodes_on
from training.graph.links import answer_links, degree
from training.progress import Reporter

CONTROL = "*"
"""The walk without a meta-path."""


@dataclass(frozen=True)
class Discovery:
    """What the search has found.

    Attributes:
        anchor: the type that candidates pass through.
        relation: whose links were asked about.
        score: how pairs were scored, ``cosine`` or ``xy``.
        metric: what paths were chosen by, ``auc`` or ``mrr``.
        questions: links that the choice was made by, and links that it was judged by.
        by_degree: ``auc`` and ``mrr`` of telling these links by the number of the target's other links alone.
        remarks: what was not looked at.
        candidates: every path, and why it was not raced.
        raced: the race; the control is in its ``trials``.
        mix: the mix.
        chosen: the mix, or the control where no mix is better than it.
        tests: trainings at full length, judged by links that the search has not seen: of ``chosen`` first.
        seconds: of each part.
    """

    anchor: str
    relation: RelationKey
    score: str
    metric: str
    questions: tuple[int, int]
    by_degree: dict[str, float]
    remarks: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    raced: Race
    mix: Mix
    chosen: Trial
    tests: tuple[Trial, ...]
    seconds: dict[str, float]


def find_meta_paths(
    graph: HeteroGraph,
    config: GraphConfig,
    *,
    item_type: str,
    threads: int,
    node_type: str | None = None,
    link: str | None = None,
    reporter: Reporter | None = None,
) -> Discovery:
    """Search.

    Args:
        graph: with the training interactions.
        config: ``discovery`` says how to search, ``skip_gram`` what is trained, ``walks`` how long at the end.
        item_type: the type of the items, where the paths begin unless told otherwise.
        threads: that train; with one, the same result every time.
        node_type: where the paths begin.
        link: the types whose links are asked about, as :func:`~training.graph.discovery.link.parse_link` reads them.
        reporter: where progress is shown.

    Raises:
        ConfigError: the arguments do not fit the graph, or no path is left.
    """
    reporter = reporter or Reporter(quiet=True)
    clock = _Clock()
    anchor, relation, link_types = _question(graph, config, item_type, node_type, link)
    key, search = graph.relations[relation].key, config.discovery
    hidden, test = hide_for_search(graph, relation, search, config.seed)
    reporter.line(f"meta-paths through {anchor}; asked about {len(hidden.questions):,} hidden links of {key}")
    found = closed_paths(
        hidden.graph, anchor, or_through=link_types, max_hops=search.max_hops, limit=search.max_candidates
    )
    remarks = [*found.remarks, *_shortened(hidden.graph, config)]
    for remark in remarks:
        reporter.line(f"note: {remark}")
    paths, pinned = _pinned_and_vetoed(found.paths, config, hidden.graph)
    clock.lap("enumerate")
    candidates = _startable(judge_candidates(hidden.graph, paths, search, config.seed, pinned), config)
    clock.lap("statistics")
    for each in candidates:
        if each.dropped:
            reporter.line(f"  {each.path}: discarded, {each.dropped}")
    left = [each.path for each in candidates if each.dropped is None]
    if not left:
        reason = f"; of {len(candidates)}, the first: {candidates[0].dropped}" if candidates else ""
        raise ConfigError(
            f"no meta-path through {anchor!r} is left to race{reason}; raise graph.discovery.max_hops or relax its "
            "thresholds"
        )
    trivial = answer_links(hidden.questions, degree(hidden.graph, hidden.graph.relations[relation]))
    by_degree = {metric: trivial[f"link_{metric}"] for metric in ("auc", "mrr")}
    bench = Bench(hidden, config, threads, reporter)
    control = parse_meta_path(CONTROL, hidden.graph)
    # A path that does not reach both ends of a link has nothing to say on it alone, but may help others to.
    answering = [path for path in left if {key.source_type, key.target_type} <= set(start_types(path))]
    if not answering:
        raise ConfigError(
            f"no meta-path that is left reaches both {key.source_type!r} and {key.target_type!r}; name another "
            "relation with --link, or pin a path"
        )
    raced = race(bench, answering, control, reporter)
    clock.lap("race")
    mix = greedy_mix(bench, raced, [path for path in left if path not in answering], reporter)
    clock.lap("mix")
    without = raced.trials[control][-1]
    chosen = mix.trial if without.value - mix.trial.value <= raced.noise else without
    tests: tuple[Trial, ...] = ()
    if test is not None:
        reporter.line(f"training at full length, judged by {len(test.questions):,} other links")
        final = Bench(test, config, threads, reporter)
        other = without if chosen is mix.trial else mix.trial
        tests = (final.full(chosen.paths, chosen.weights), final.full(other.paths, other.weights))
        clock.lap("test")
    questions = (len(hidden.questions), len(test.questions) if test else 0)
    return Discovery(
        anchor,
        key,
        bench.score,
        search.metric,
        questions,
        by_degree,
        tuple(remarks),
        tuple(candidates),
        raced,
        mix,
        chosen,
        tests,
        clock.laps,
    )


def _question(
    graph: HeteroGraph, config: GraphConfig, item_type: str, node_type: str | None, link: str | None
) -> tuple[str, int, tuple[str, ...]]:
    """Where paths begin, which relation is asked about, and the types of the link if one is named."""
    if node_type is not None:
        check_type(node_type, graph, f"--for {node_type}")
    if link is None:
        anchor = node_type or anchor_type(graph, item_type)
        interactions = RelationKey(config.user_type, config.interactions, item_type)
        return anchor, asked_relation(graph, anchor, interactions), ()
    relation, types = parse_link(link, graph)
    anchor = node_type or anchor_type(graph, item_type)
    # An anchor that the link does not touch has little to say on it.
    return (anchor if node_type or anchor in types else types[0]), relation, types


def _pinned_and_vetoed(
    found: Sequence[MetaPath], config: GraphConfig, graph: HeteroGraph
) -> tuple[list[MetaPath], list[MetaPath]]:
    """The paths to look at, pinned ones first, and the pinned ones."""
    pinned = list(dict.fromkeys(parse_meta_path(text, graph) for text in config.discovery.pin))
    vetoed = [parse_meta_path(text, graph) for text in config.discovery.veto]
    for path in (*pinned, *vetoed):
        if path.free:
            raise ConfigError(f"graph.discovery.pin and veto name meta-paths; {path} is raced in any case")
    out = [*pinned, *vetoed]
    others = [path for path in found if not any(same_path(path, each, graph) for each in out)]
    return [*pinned, *others], pinned


def _shortened(graph: HeteroGraph, config: GraphConfig) -> list[str]:
    """What to say where the graph is too large for the tokens that a node should have."""
    search = config.discovery
    nodes = nodes_on([parse_meta_path(CONTROL, graph)], graph)
    if nodes * search.tokens_per_node <= search.max_tokens:
        return []
    return [
        f"with {nodes:,} nodes, graph.discovery.max_tokens = {search.max_tokens:,} allows trainings over all types "
        f"{search.max_tokens / nodes:.1f} tokens a node, of {search.tokens_per_node} that are meant; below some 20, "
        "figures say little"
    ]


def _startable(candidates: Sequence[Candidate], config: GraphConfig) -> list[Candidate]:
    """Discard what ``graph.walks.starts`` leaves without start nodes."""
    starts = set(config.walks.starts)
    reason = "none of graph.walks.starts on it"
    return [
        each.discard(reason) if starts and not starts & set(start_types(each.path)) else each for each in candidates
    ]


class _Clock:
    """Seconds of the parts, one after the other."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 1)
        self._last = now
