"""The vectors of a trained space with the names of what they stand for, to be written into files of other tools."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from recsvc.data.graph import HeteroGraph
from recsvc.errors import ConfigError, RunError
from recsvc.export import encode_key, encode_node, write_npy, write_parquet, write_walks, write_word2vec
from training.graph.counting import make_block, num_blocks
from training.graph.data import load_plan, node_keys
from training.graph.fit import load_tables
from training.graph.paths import choose_paths
from training.run import Run
from training.sequence.space import BehaviourSpace
from training.spaces import spaces_in

FORMATS = ("word2vec", "word2vec-text", "parquet", "npy", "walks")


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """V vectors.

    Attributes:
        types: node type of each; for items, that of the run's items.
        ids: id of each.
        keys: how word2vec's files name each: ``type:id`` for nodes, the id for items.
        vectors: float32 [V, d].
    """

    types: list[str]
    ids: list[str]
    keys: list[str]
    vectors: NDArray[np.float32]


def export_space(run: Run, space: str, form: str, out: Path) -> str:
    """Write the vectors of a space, or the walks that it was trained on, into a new file; says in a line what it holds.

    Args:
        run: where the space is trained.
        space: graph, behaviour, image, or one of the user's own.
        form: one of ``FORMATS``.
        out: the file to make.

    Raises:
        ConfigError: there is no such space or format, or the file is in the way.
        RunError: the space is not trained in this run.
    """
    spaces = spaces_in(run)
    if space not in spaces:
        raise ConfigError(f"--space {space}: expected one of {', '.join(spaces)}")
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected one of {', '.join(FORMATS)}")
    if form == "walks" and space != "graph":
        raise ConfigError(f"--format walks goes with --space graph: the space {space} is not trained on walks")
    if not spaces[space].trained(run):
        raise RunError(f"{run.folder}: the space {space} is not trained here; train it with `recsvc train`")
    if form == "walks":
        return f"{_export_walks(run, out):,} walks"
    found = named_vectors(run, space)
    if form == "parquet":
        write_parquet(out, found.types, found.ids, found.vectors)
    elif form == "npy":
        write_npy(out, found.keys, found.vectors)
    else:
        write_word2vec(out, found.keys, found.vectors, binary=form == "word2vec")
    return f"{len(found.vectors):,} vectors of {found.vectors.shape[1]} numbers"


def named_vectors(run: Run, space: str) -> NamedVectors:
    """The vectors of a space: of every node that walks have reached, or of the items."""
    if space == "graph":
        return _node_vectors(run)
    vectors, rows = _item_vectors(run, space)
    catalogue = run.catalogue()
    items = catalogue.items(rows)
    catalogue.close()
    ids = [item.item_id for item in items]
    return NamedVectors([item.node_type for item in items], ids, [encode_key(each) for each in ids], vectors)


def _node_vectors(run: Run) -> NamedVectors:
    graph = HeteroGraph.load(run.data("graph"))
    tables = load_tables(run.folder / "graph")
    types, ids, rows = [], [], []
    for name, first in zip(graph.node_types, graph.offsets.tolist(), strict=False):
        for row, node_id in enumerate(graph.nodes[name].ids):
            if tables.counts[first + row]:
                types.append(name)
                ids.append(node_id)
                rows.append(first + row)
    keys = [encode_node(*each) for each in zip(types, ids, strict=True)]
    return NamedVectors(types, ids, keys, tables.vectors[rows])


def _item_vectors(run: Run, space: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors and the catalogue's rows of the items that they stand for."""
    if space == BehaviourSpace.name:
        return BehaviourSpace().items(run)
    with tempfile.TemporaryDirectory() as folder:  # what a release holds; of pictures, what the exported encoder gives
        spaces_in(run)[space].export(run, Path(folder))
        table = load_file(Path(folder) / "items.safetensors")
    return table["vectors"], table["catalogue_rows"].astype(np.int64)


def _export_walks(run: Run, out: Path) -> int:
    """The walks of one pass, none of their tokens dropped."""
    config = run.config.graph
    graph = HeteroGraph.load(run.data("graph"))
    chosen = choose_paths(graph, run.catalogue().item_type, config)
    plan = load_plan(run.data("graph"), graph, chosen, config)
    return write_walks(out, (make_block(plan, block, None, 0) for block in range(num_blocks(plan))), node_keys(graph))
