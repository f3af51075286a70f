"""The graph spaces of challenger and champion: held-out links told from others, things that were lost, collapse.

Users are not in a release. What a user had stands for the user: the mean direction of the items that the graph links
with the user, against the held-out item and items that the user never had. Of other relations links are asked for that
both releases may have been trained on: they say whether the space still knows what it was told. Only things that
both releases know are asked for, the same for both.
"""

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.bundle import Bundle, Space
from recsvc.answers.queries import rows_in
from recsvc.data.graph import HeteroGraph, Relation
from recsvc.metrics.bootstrap import Interval, bootstrap_mean
from recsvc.metrics.representation import effective_rank, spread
from training.export import unit_length
from training.graph.data import interaction_key, load_held_out
from training.graph.links import NEGATIVES, LinkQuestions, ask_links
from training.retrain.gate_config import GateConfig
from training.retrain.gate_verdict import Check, ends, plus_minus
from training.run import Run

Bools = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_SPACE = "graph"
_LOOKED_AT = 2000
"""Vectors whose spread and rank are measured."""


def judge_graph(challenger: Bundle, champion: Bundle | None, run: Run, config: GateConfig) -> list[Check]:
    """Links, lost things and collapse; without a champion collapse alone.

    Args:
        challenger: the release that is judged, with a graph space.
        champion: what it is compared with; None if there is none with a graph space.
        run: the challenger's: its graph and its held-out interactions are what is asked for.
        config: the limits.
    """
    new = challenger.spaces[_SPACE]
    if champion is None:
        return collapse(_SPACE, new.vectors, None, config)
    old = champion.spaces[_SPACE]
    checks = _links(challenger, champion, run, config)
    checks.append(lost_things(_SPACE, challenger, champion, config))
    return checks + collapse(_SPACE, new.vectors, old.vectors, config)


def lost_things(name: str, challenger: Bundle, champion: Bundle, config: GateConfig) -> Check:
    """What had a vector in a space of the champion and has none in the challenger's."""
    old, new = champion.spaces[name], challenger.spaces[name]
    known = graph_rows(new, challenger, *named(old, champion)) >= 0
    lost, share = int((~known).sum()), float((~known).mean()) if len(known) else 0.0
    said = f"{lost:,} of the champion's {len(known):,} vectors ({share:.1%}) are gone, {len(new.vectors):,} are there"
    if share > config.max_lost:
        said += f": more than the {config.max_lost:.0%} that retrain.gate.max_lost allows"
    return Check(name, "lost things", share <= config.max_lost, share, config.max_lost, said)


def collapse(name: str, new: Float32, old: Float32 | None, config: GateConfig) -> list[Check]:
    """Whether vectors fill their space: spread, and effective rank against the champion's; on at most 2,000 of them."""
    if len(new) < 2:
        return [Check(name, "spread", True, None, None, f"{len(new)} vectors are too few to be judged")]
    sample = _evenly(new)
    width = spread(sample) * float(np.sqrt(new.shape[1]))
    said = f"spread of the vectors {width:.3f} (1 = even)"
    if width < config.min_spread:
        said += f": below {config.min_spread:g}, all of them are nearly one"
    checks = [Check(name, "spread", width >= config.min_spread, width, config.min_spread, said)]
    if old is None or len(old) < 2:
        return checks
    rank, before = effective_rank(sample), effective_rank(_evenly(old))
    limit = config.min_rank_ratio * before
    said = f"the vectors use {rank:.1f} directions against {before:.1f}"
    if rank < limit:
        said += f": less than {config.min_rank_ratio:.0%} of the champion's"
    return [*checks, Check(name, "rank", rank >= limit, rank, limit, said)]


def named(space: Space, bundle: Bundle) -> tuple[list[str], list[str]]:
    """Types and ids of the things that the vectors of a space stand for."""
    catalogue, rows = bundle.catalogue, space.catalogue_rows.tolist()
    types = [catalogue.node_types[number] for number in catalogue.types[space.catalogue_rows].tolist()]
    return types, [catalogue.ids[row] for row in rows]


def graph_rows(space: Space, bundle: Bundle, types: list[str], ids: list[str]) -> Int64:
    """The row in a space of each of some things, int64 [n], -1 for what it does not know."""
    of_type = np.array(types)
    found = np.full(len(ids), -1, np.int64)
    for name in set(types):
        places = np.flatnonzero(of_type == name)
        rows = bundle.catalogue.row_numbers([ids[place] for place in places.tolist()], name)
        found[places] = rows_in(space, rows)
    return found


def _links(challenger: Bundle, champion: Bundle, run: Run, config: GateConfig) -> list[Check]:
    """One check for each relation that can be asked for, the held-out interactions first."""
    graph = HeteroGraph.load(run.data(_SPACE))
    types = [name for name in graph.node_types for _ in range(len(graph.nodes[name]))]
    ids = [node_id for name in graph.node_types for node_id in graph.nodes[name].ids]
    rows = [graph_rows(bundle.spaces[_SPACE], bundle, types, ids) for bundle in (challenger, champion)]
    both = (rows[0] >= 0) & (rows[1] >= 0)
    tables = [
        _table(bundle.spaces[_SPACE], own, both) for bundle, own in zip((challenger, champion), rows, strict=True)
    ]
    held_out, key = load_held_out(run.data(_SPACE)), None
    checks = []
    if held_out is not None:
        catalogue = run.catalogue()
        key = interaction_key(catalogue.item_type, run.config)
        catalogue.close()
        (relation,) = (each for each in graph.relations if each.key == key)
        checks += _asked("links", f"held-out {key}", _people(graph, relation, held_out, both, tables, config), config)
    for each in graph.relations:
        if each.key != key:
            pairs = _some(np.stack([each.sources, each.targets], axis=1), config.links)
            questions = ask_links(graph, each, pairs, both)
            gains = [_aucs(questions, table[questions.sources], table) for table in tables]
            checks += _asked(f"links {each.key}", str(each.key), gains, config)
    return checks


def _people(
    graph: HeteroGraph,
    relation: Relation,
    held_out: NDArray[np.integer],
    both: Bools,
    tables: list[Float32],
    config: GateConfig,
) -> list[Float64]:
    """AUC of each held-out interaction by either release: the user is the mean direction of what the user had."""
    users, items = (
        graph.offsets[graph.type_index(end)] for end in (relation.key.source_type, relation.key.target_type)
    )
    forward = relation.forward
    owned = both[items + forward.neighbours]
    counts = np.concatenate([[0], np.cumsum(owned)])[forward.indptr]
    reached = both.copy()
    reached[users : users + len(forward.degrees)] = np.diff(counts) > 0
    questions = ask_links(graph, relation, _some(np.asarray(held_out), config.links), reached)
    found = []
    for table in tables:
        means = np.zeros((len(questions), table.shape[1]), np.float32)
        for place, user in enumerate((questions.sources - users).tolist()):
            had = forward.neighbours[forward.indptr[user] : forward.indptr[user + 1]]
            means[place] = table[items + had].sum(axis=0)  # zero where a release does not know an item
        found.append(_aucs(questions, unit_length(means), table))
    return found


def _aucs(questions: LinkQuestions, sources: Float32, table: Float32) -> Float64:
    """The share of its negatives that each link beats by cosine, a tie counting half, [p]."""
    if not len(questions):
        return np.empty(0)
    own = np.einsum("pd,pd->p", sources, table[questions.targets])[:, None]
    others = np.stack([np.einsum("pd,pd->p", sources, table[column]) for column in questions.negatives.T], axis=1)
    beaten: Float64 = (others < own).mean(axis=1) + (others == own).mean(axis=1) / 2.0
    return beaten


def _asked(name: str, what: str, gains: list[Float64], config: GateConfig) -> list[Check]:
    new, old = gains
    if not len(new):
        return []
    change: Interval = bootstrap_mean(new - old)
    passed = change.high >= 0 or change.mean >= -config.max_auc_drop
    said = (
        f"AUC {new.mean():.4f} against {old.mean():.4f} ({plus_minus(change)}, {len(new):,} links {what}, each against "
        f"{NEGATIVES})"
    )
    if not passed:
        said += f": lower by more than {config.max_auc_drop:g}, beyond chance"
    return [Check(_SPACE, name, passed, change.mean, -config.max_auc_drop, said, ends(change))]


def _table(space: Space, rows: Int64, both: Bools) -> Float32:
    """Unit vectors by global row of the graph, float32 [V, d]; zero for what one of the releases does not know."""
    table = np.zeros((len(rows), space.dim), np.float32)
    table[both] = unit_length(np.asarray(space.vectors[rows[both]]))
    return table


def _evenly(vectors: Float32) -> Float32:
    return vectors[np.unique(np.linspace(0, len(vectors) - 1, _LOOKED_AT).astype(np.int64))]


def _some(pairs: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    if len(pairs) <= count:
        return pairs
    return pairs[np.sort(np.random.default_rng(0).choice(len(pairs), count, replace=False))]
