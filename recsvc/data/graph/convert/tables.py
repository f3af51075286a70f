"""The graph as the tables of a data set folder."""

from pathlib import Path

import numpy as np
import polars as pl

from recsvc.data.graph.hetero import HeteroGraph
from recsvc.errors import DatasetError


def to_tables(graph: HeteroGraph) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What ``nodes.*`` and ``edges.*`` would hold.

    Returns:
        ``node_type``, ``node_id`` and, where there are any, ``label`` and ``name``, a row for each node; and
        ``source_type``, ``source_id``, ``relation``, ``target_type``, ``target_id`` and, where a relation has weights,
        ``weight`` (1 in those without), a row for each edge. Both take ``to_pandas()``.
    """
    ids = {name: pl.Series("id", list(graph.nodes[name].ids), dtype=pl.String) for name in graph.node_types}
    nodes = [_nodes(graph, name, ids[name]) for name in graph.node_types]
    weighted = any(relation.weights is not None for relation in graph.relations)
    edges = []
    for relation in graph.relations:
        source_type, name, target_type = relation.key
        frame = pl.DataFrame(
            {
                "source_id": ids[source_type].gather(relation.sources),
                "target_id": ids[target_type].gather(relation.targets),
            }
        ).with_columns(source_type=pl.lit(source_type), relation=pl.lit(name), target_type=pl.lit(target_type))
        if weighted:
            ones = np.ones(len(relation), np.float32)
            frame = frame.with_columns(pl.Series("weight", ones if relation.weights is None else relation.weights))
        edges.append(frame)
    columns = ["source_type", "source_id", "relation", "target_type", "target_id", *(["weight"] if weighted else [])]
    empty = pl.DataFrame(schema={column: pl.Float32 if column == "weight" else pl.String for column in columns})
    no_nodes = pl.DataFrame(schema={"node_type": pl.String, "node_id": pl.String})
    return pl.concat([no_nodes, *nodes], how="diagonal"), pl.concat(
        [empty, *(frame.select(columns) for frame in edges)]
    )


def write_tables(graph: HeteroGraph, folder: Path) -> None:
    """Write ``nodes.parquet`` and ``edges.parquet`` into a folder, for `recsvc` to read.

    Raises:
        DatasetError: there are such tables already.
    """
    folder = Path(folder)
    for name in ("nodes", "edges"):
        if present := sorted(folder.glob(f"{name}.*")):
            raise DatasetError(f"{present[0]} is there already; remove it or write elsewhere.")
    folder.mkdir(parents=True, exist_ok=True)
    nodes, edges = to_tables(graph)
    nodes.write_parquet(folder / "nodes.parquet")
    if edges.height:
        edges.write_parquet(folder / "edges.parquet")


def _nodes(graph: HeteroGraph, name: str, ids: pl.Series) -> pl.DataFrame:
    table = graph.nodes[name]
    frame = pl.DataFrame({"node_id": ids}).select(pl.lit(name).alias("node_type"), "node_id")
    texts = {"label": table.labels, "name": table.names}
    more = [pl.Series(column, list(each), dtype=pl.String) for column, each in texts.items() if each is not None]
    return frame.with_columns(more)
