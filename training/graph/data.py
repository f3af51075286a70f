"""What the graph space learns from: the graph with the training interactions, and the held-out ones beside it."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.data import Dataset, InteractionLog, Split, make_split
from recsvc.data.graph import HeteroGraph, RelationKey, build_graph, training_interactions
from recsvc.export import encode_node, read_walks
from recsvc.models.graph.corpus import walk_corpus
from recsvc.models.graph.plan import WalkPlan
from training.catalogue import item_type_of
from training.config import Config
from training.graph.config import GraphConfig
from training.graph.paths import ChosenPaths, plan_of

_HELD_OUT = "held_out.npy"
_TOKENS, _ENDS = "corpus_tokens.npy", "corpus_ends.npy"

Pairs = NDArray[np.int32]


def graph_of(dataset: Dataset, config: Config) -> HeteroGraph:
    """The graph of a data set's tables and, if it has interactions, of those that train.

    Raises:
        DatasetError: the configuration names a type or relation that is not there, or the log cannot be split.
    """
    item_type = item_type_of(dataset, config)
    interactions = None
    if dataset.log is not None:
        interactions = training_interactions(
            dataset.log,
            make_split(dataset.log, config.split),
            user_type=config.graph.user_type,
            relation=config.graph.interactions,
            item_type=item_type,
        )
    return build_graph(dataset.graph, interactions, config.graph.directed)


def interaction_key(item_type: str, config: Config) -> RelationKey:
    """The relation that the interactions become."""
    return RelationKey(config.graph.user_type, config.graph.interactions, item_type)


def prepare_graph(folder: Path, dataset: Dataset, config: Config) -> None:
    """Write the graph, and the test interactions as pairs of its rows, into ``folder``, which appears whole or not at
    all.

    Raises:
        DatasetError: as :func:`graph_of`, or the walks of ``graph.corpus`` are not of its nodes.
    """
    graph = graph_of(dataset, config)
    staging = folder.with_name(f".{folder.name}.preparing")
    if staging.exists():  # left by a process that was killed
        shutil.rmtree(staging)
    graph.save(staging)
    if config.graph.corpus is not None:
        tokens, ends = read_walks(Path(config.graph.corpus), {key: row for row, key in enumerate(node_keys(graph))})
        np.save(staging / _TOKENS, tokens)
        np.save(staging / _ENDS, ends)
    if dataset.log is not None:
        key = interaction_key(item_type_of(dataset, config), config)
        np.save(staging / _HELD_OUT, _held_out(graph, key, dataset.log, make_split(dataset.log, config.split)))
    staging.rename(folder)


def load_plan(folder: Path, graph: HeteroGraph, chosen: ChosenPaths, config: GraphConfig) -> WalkPlan:
    """The walks of a training: those of the corpus that was prepared, or those along the chosen paths.

    Raises:
        ConfigError: the starts do not fit the paths.
    """
    if config.corpus is None:
        return plan_of(graph, chosen, config)
    tokens, ends = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (_TOKENS, _ENDS))
    return walk_corpus(graph, tokens, ends, f"the walks of {config.corpus}")


def node_keys(graph: HeteroGraph) -> list[str]:
    """The key of every node, by global row."""
    return [encode_node(name, node_id) for name in graph.node_types for node_id in graph.nodes[name].ids]


def load_held_out(folder: Path) -> Pairs | None:
    """The test interactions, int32 [p, 2]: local rows of user and item; None if the data set has no interactions."""
    path = folder / _HELD_OUT
    if not path.is_file():
        return None
    pairs: Pairs = np.load(path, allow_pickle=False)
    return pairs


def _held_out(graph: HeteroGraph, key: RelationKey, log: InteractionLog, split: Split) -> Pairs:
    """Test targets whose user and item are nodes, without those that training shows as well."""
    relation = next(each for each in graph.relations if each.key == key)
    users = graph.nodes[key.source_type].ids.rows_of(log.users.ids_of(split.test_users))
    items = graph.nodes[key.target_type].ids.rows_of(log.item_ids.ids_of(log.items[split.test_positions]))
    known = (users >= 0) & (items >= 0)
    pairs = np.stack([users[known], items[known]], axis=1)
    size = len(graph.nodes[key.target_type])
    trained = relation.sources.astype(np.int64) * size + relation.targets
    return pairs[~np.isin(pairs[:, 0] * size + pairs[:, 1], trained)].astype(np.int32)
