"""The `graph` space in the pipeline: fit, evaluate and export metapath2vec."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data import Dataset
from recsvc.data.graph import HeteroGraph
from recsvc.releases import SpaceEntry
from training.catalogue import item_type_of
from training.config import Config
from training.export import write_cosine_index, write_table
from training.graph.data import graph_of, interaction_key, load_held_out, load_plan, prepare_graph
from training.graph.evaluate import (
    Figures,
    judge_labels,
    judge_links,
    label_protocol,
    labelled_nodes,
    link_protocol,
)
from training.graph.fit import GraphFit, GraphTrainer, Tables, load_tables
from training.graph.links import NEGATIVES, ask_links
from training.graph.model import first_vectors
from training.graph.paths import ChosenPaths, choose_paths, plan_of
from training.graph.similarity import SIMILARITY, judge_similarity
from training.graph.twin import train_twin
from training.progress import Reporter
from training.run import Run
from training.runtime import available_cores

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


class GraphSpace:
    """What is connected to what, from walks on typed nodes."""

    name = "graph"

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has nodes or edges."""
        return dataset.graph is not None

    def check(self, dataset: Dataset, config: Config) -> None:
        """Build the graph and plan its walks, so that what cannot be walked is refused before anything is written.

        Raises:
            DatasetError: the graph cannot be built of this data set.
            ConfigError: a meta-path does not fit it.
        """
        graph = graph_of(dataset, config)
        chosen = choose_paths(graph, item_type_of(dataset, config), config.graph)
        if config.graph.corpus is None:
            plan_of(graph, chosen, config.graph)

    def prepare(self, folder: Path, dataset: Dataset, config: Config, reporter: Reporter) -> None:
        """Write the graph with the training interactions; held-out ones stand beside it, for the evaluation alone."""
        prepare_graph(folder, dataset, config)

    def train(self, run: Run, *, resume: bool, reporter: Reporter) -> str:
        """Fit the vectors; they end in ``model.safetensors``, and what was walked in ``graph.json``."""
        config = run.config.graph
        graph, chosen = self._graph(run)
        reporter.line(f"graph: meta-paths, {chosen.origin}: {', '.join(map(str, chosen.paths))}".removesuffix(": "))
        for remark in chosen.remarks:
            reporter.line(f"graph: no meta-path for {remark}")
        trainer = GraphTrainer(
            load_plan(run.data(self.name), graph, chosen, config),
            config.skip_gram,
            run.folder / self.name,
            seed=config.seed,
            threads=_threads(run),
            checkpoint_seconds=config.checkpoint_seconds,
            resume=resume,
            reporter=reporter,
        )
        fit = trainer.run()
        nodes = _nodes_by_type(graph, fit.counts.nodes > 0)
        for name, (reached, total) in nodes.items():
            if reached < total:
                reporter.line(f"graph: no walk reaches {total - reached:,} of {total:,} nodes of type {name}")
        run.write_json(f"{self.name}.json", _report(trainer, chosen, fit, nodes))
        return (
            f"{fit.counts.total:,} tokens of {trainer.plan.num_walks:,} walks in {fit.seconds:.0f} s, loss "
            f"{fit.loss:.3f}, vectors of {sum(reached for reached, _ in nodes.values()):,} nodes"
        )

    def trained(self, run: Run) -> bool:
        """Whether training has come to its end."""
        return run.read_json(f"{self.name}.json") is not None

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """Node classification and clustering where labels allow it, similarity search, and link prediction."""
        graph, chosen = self._graph(run)
        tables = self.load_model(run)
        untrained = first_vectors(graph.num_nodes, run.config.graph.skip_gram.dim, run.config.graph.seed)
        nodes, refused = labelled_nodes(graph, tables.counts > 0)
        reporter.line("graph: classifying and clustering labelled nodes" if nodes else "graph: no labels to judge by")
        model = judge_labels(nodes, tables.vectors)
        baselines = {"untrained": judge_labels(nodes, untrained)}
        reporter.line("graph: similarity search")
        model |= judge_similarity(graph, tables.vectors, tables.counts > 0)
        baselines["untrained"] |= judge_similarity(graph, untrained, tables.counts > 0)
        link_model, link_baselines, links = self._links(run, graph, chosen, tables, untrained, reporter)
        for name, figures in link_baselines.items():
            baselines[name] = baselines.get(name, {}) | figures
        return {
            "protocol": {
                "meta_paths": [str(path) for path in chosen.paths],
                "negatives": run.config.graph.skip_gram.rule,
                **label_protocol(nodes, refused),
                "similarity": SIMILARITY,
                "links": links,
                "data_sha256": run.fingerprint,
                "seed": run.config.graph.seed,
            },
            "model": model | link_model,
            "baselines": {name: figures for name, figures in baselines.items() if figures},
        }

    def export(self, run: Run, folder: Path) -> SpaceEntry:
        """Write the vectors of all nodes that a walk has reached, and their index; users stay out of a release."""
        graph, _ = self._graph(run)
        tables = self.load_model(run)
        rows, catalogue_rows = _things(run, graph, tables.counts > 0)
        vectors = tables.vectors[rows]
        write_table(vectors, catalogue_rows, folder / "items.safetensors")
        write_cosine_index(vectors, folder / "similar.faiss")
        return SpaceEntry(
            dim=vectors.shape[1],
            count=len(vectors),
            metric="cosine",
            table=f"{folder.name}/items.safetensors",
            index=f"{folder.name}/similar.faiss",
        )

    def warmup(self, run: Run) -> dict[str, Any]:
        """Nothing: a release without an encoder has nothing to warm up."""
        return {}

    def load_model(self, run: Run) -> Tables:
        """The trained tables, by global node row."""
        return load_tables(run.folder / self.name)

    def _graph(self, run: Run) -> tuple[HeteroGraph, ChosenPaths]:
        graph = HeteroGraph.load(run.data(self.name))
        return graph, choose_paths(graph, run.catalogue().item_type, run.config.graph)

    def _links(
        self,
        run: Run,
        graph: HeteroGraph,
        chosen: ChosenPaths,
        tables: Tables,
        untrained: Float32,
        reporter: Reporter,
    ) -> tuple[Figures, dict[str, Figures], str]:
        """Link figures of the model and of the baselines, and what they are of."""
        config = run.config.graph
        held_out = load_held_out(run.data(self.name))
        if held_out is not None:
            key = interaction_key(run.catalogue().item_type, run.config)
            place = next(place for place, each in enumerate(graph.relations) if each.key == key)
            trained_on = graph
            what = f"test interactions of the split ({key})"
        elif config.corpus is not None:
            return {}, {}, "not judged, as given walks cannot be made again without the links that are asked about"
        elif config.evaluation.hidden_links:
            twin = train_twin(graph, chosen, config, _threads(run), reporter)
            place, trained_on, tables, held_out = twin.relation, twin.graph, twin.tables, twin.hidden
            key = graph.relations[place].key
            what = f"{key} links hidden from a second training with the same settings"
        else:
            return {}, {}, "not judged, as graph.evaluation.hidden_links is 0"
        questions = ask_links(graph, graph.relations[place], held_out, tables.counts > 0)
        if not len(questions):
            return {}, {}, f"not judged: no walk reaches both ends of any of the {what}"
        relation, rule = trained_on.relations[place], config.skip_gram.rule
        model, baselines = judge_links(questions, trained_on, relation, tables, untrained, rule)
        return (
            model,
            baselines,
            f"{len(questions):,} {what}, both ends with vectors, each against {NEGATIVES} {key.target_type} nodes not "
            f"linked to its source, drawn evenly; {link_protocol(rule, relation)}",
        )


def _threads(run: Run) -> int:
    return run.config.runtime.threads or available_cores()


def _nodes_by_type(graph: HeteroGraph, reached: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """For each type, how many nodes have a vector, and how many there are."""
    parts = np.split(reached, graph.offsets[1:-1])
    return {name: (int(part.sum()), len(part)) for name, part in zip(graph.node_types, parts, strict=True)}


def _report(
    trainer: GraphTrainer, chosen: ChosenPaths, fit: GraphFit, nodes: dict[str, tuple[int, int]]
) -> dict[str, Any]:
    """What ``graph.json`` says of a training."""
    plan, counts = trainer.plan, fit.counts
    dead_ends = np.split(counts.dead_ends, plan.arrays.hop_offsets[1:-1])
    columns = zip(plan.paths, plan.shares, counts.paths, np.diff(plan.arrays.walk_offsets), dead_ends, strict=True)
    return {
        "meta_paths": [
            {
                "path": str(path),
                "share": round(float(share), 4),
                "tokens": int(tokens),
                "walks": int(walks),
                "dead_ends": ends.tolist(),
            }
            for path, share, tokens, walks, ends in columns
        ],
        "origin": chosen.origin,
        "not_walked": list(chosen.remarks),
        "nodes": {name: {"vectors": reached, "of": total} for name, (reached, total) in nodes.items()},
        "tokens": counts.total,
        "loss": fit.loss,
        "seconds": round(fit.seconds, 1),
    }


def _things(run: Run, graph: HeteroGraph, reached: NDArray[np.bool_]) -> tuple[Int64, Int64]:
    """Global rows of the nodes that a release may have, and their catalogue rows; the catalogue has no users."""
    catalogue = run.catalogue()
    rows, catalogue_rows = [], []
    for node_type, first in zip(graph.node_types, graph.offsets.tolist(), strict=False):
        for row, thing in enumerate(catalogue.rows(graph.nodes[node_type].ids, node_type)):
            if thing is not None and reached[first + row]:
                rows.append(first + row)
                catalogue_rows.append(thing)
    return np.array(rows, np.int64), np.array(catalogue_rows, np.int64)
