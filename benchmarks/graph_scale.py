"""What skip-gram costs on graphs of 10,000 to 2,000,000 nodes: time of a token, what bounds it, and peak memory.

    python benchmarks/graph_scale.py [--nodes 10000 100000 2000000] [--tokens 300000]

Graphs are drawn: authors (40 %), papers (55 %) and venues (5 %), five edges a node, uneven degrees. Each size is a
process of its own, which builds the graph, counts all walks (of 100 tokens, from every venue), trains on some of
them on one thread, once with shared negatives and once in word2vec order, and saves the tables. A token's cost is CPU
time. The same steps are then timed on tables so small that they stay in the processor's cache: what is left of the
cost is arithmetic, and the rest is waiting for memory. The last rows train on one and on eight times as many walks: the
peak stays. Prints a Markdown table; peak is VmHWM, with both tables and the graph in memory.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.noise import build_noise
from recsvc.models.graph.plan import WalkPlan, plan_walks
from recsvc.models.graph.random import block_state
from recsvc.models.graph.skipgram import skip_gram_kernel
from training.checkpoints import save_tensors
from training.graph.counting import count_walks, make_block
from training.graph.model import SkipGram, first_vectors

DIM, LENGTH, SMALL = 128, 100, 500
SHARES = {"author": 0.4, "paper": 0.55, "venue": 0.05}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000, 100_000, 2_000_000])
    parser.add_argument("--tokens", type=int, default=300_000, help="tokens of a timed training")
    parser.add_argument("--walks", type=int, default=100_000, help="nodes of the graph on which the walks grow")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(**arguments.child)))
        return 0

    print("| nodes | edges | walks | tokens trained | order | ns a token | of it arithmetic | tokens/s | peak GiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    jobs = [(nodes, arguments.tokens) for nodes in arguments.nodes]
    jobs += [(arguments.walks, arguments.tokens * times) for times in (1, 8) if arguments.walks]
    for nodes, tokens in jobs:
        # Twice as many walks as are trained on, but one from every venue at least.
        per_node = max(1, round(2 * tokens / (LENGTH * SHARES["venue"] * nodes)))
        job = json.dumps({"num_nodes": nodes, "per_node": per_node, "tokens": tokens})
        command = [sys.executable, __file__, "--child", job]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for order, cost in found["costs"].items():
            print(
                f"| {nodes:,} | {found['edges']:,} | {found['walks']:,} | {found['trained']:,} | {order} | "
                f"{cost['ns']:,.0f} | {cost['cached_ns'] / cost['ns']:.0%} | {1e9 / cost['ns']:,.0f} | "
                f"{found['peak_gib']:.2f} |",
                flush=True,
            )
    processor = platform.processor() or platform.machine()
    print(
        f"\nd={DIM}, window 7, 5 negatives, context-type, one thread; {processor}, {os.cpu_count()} cores, load at the "
        f"end {os.getloadavg()[0]:.1f}; numba {numba.__version__}."
    )
    return 0


def measure(num_nodes: int, per_node: int, tokens: int) -> dict[str, Any]:
    """Build, count, train, save; the figures of one size."""
    graph = drawn_graph(num_nodes)
    walks = WalkConfig(per_node=per_node, length=LENGTH, starts=("venue",))
    plan = plan_walks(graph, [parse_meta_path("author-paper-venue-paper-author", graph)], [1.0], walks, 0)
    counts = count_walks(plan, 1)
    blocks = min(len(counts.blocks), int(np.searchsorted(np.cumsum(counts.blocks), tokens)) + 1)
    trained = int(counts.blocks[:blocks].sum())
    costs: dict[str, dict[str, float]] = {}
    for order in ("shared", "word2vec"):
        config = SkipGramConfig(dim=DIM, share_negatives=order == "shared")
        with SkipGram(plan, counts, config, 0, 1) as model:
            model.outputs[:] = 0  # all of it in memory, as after a whole training
            model.train(0, 1)  # compiles
            begun = time.process_time()
            model.train(1, blocks - 1)
            seconds = time.process_time() - begun
            if order == "shared":
                with tempfile.TemporaryDirectory() as folder:
                    tables = {"vectors": torch.from_numpy(model.vectors), "outputs": torch.from_numpy(model.outputs)}
                    save_tensors(Path(folder) / "model.safetensors", tables)
            cached = in_cache(model, plan, config, blocks)
        costs[order] = {"ns": 1e9 * seconds / (trained - int(counts.blocks[0])), "cached_ns": cached}
        del model
    edges = sum(len(relation) for relation in graph.relations)
    return {"edges": edges, "walks": plan.num_walks, "trained": trained, "costs": costs, "peak_gib": peak_gib()}


def in_cache(model: SkipGram, plan: WalkPlan, config: SkipGramConfig, blocks: int) -> float:
    """Nanoseconds of a token with the same walks on tables of few rows; its types keep their places."""
    kernel = skip_gram_kernel(config.dim, config.negatives, shared=config.share_negatives, by_input=False)
    vectors, seconds, total = first_vectors(SMALL, config.dim, 0), 0.0, 0
    outputs = np.zeros_like(vectors)
    noise = build_noise(np.ones(SMALL, np.int64), np.array([0, SMALL]))
    for block in range(min(blocks, 30)):
        tokens, ends = make_block(plan, block, None, 0)
        args = ((tokens % SMALL).astype(np.int32), ends, len(ends), config.window, noise, block_state(0, block))
        begun = time.process_time()
        kernel(vectors, outputs, *args, model.rate(block))
        seconds, total = seconds + time.process_time() - begun, total + len(tokens)
    return 1e9 * seconds / total


def drawn_graph(num_nodes: int) -> HeteroGraph:
    """Authors wrote papers (four edges a node), papers appeared in venues (one); some ends come far more often."""
    draws = np.random.default_rng(0)
    sizes = {name: int(num_nodes * share) for name, share in SHARES.items()}
    nodes = {name: NodeTable(IdIndex.from_ids([f"{name}{row}" for row in range(size)])) for name, size in sizes.items()}

    def rows(node_type: str, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        return (sizes[node_type] * draws.random(count) ** 1.5).astype(np.int32)

    relations = []
    for source, name, target, count in (("author", "wrote", "paper", 4), ("paper", "in", "venue", 1)):
        ends = rows(source, count * num_nodes), rows(target, count * num_nodes)
        for end, node_type in zip(ends, (source, target), strict=True):  # no node without an edge, so no dead ends
            end[: sizes[node_type]] = draws.permutation(sizes[node_type])
        key = RelationKey(source, name, target)
        relations.append(Relation.from_edges(key, *ends, shape=(sizes[source], sizes[target])))
    return HeteroGraph(tuple(sizes), nodes, tuple(relations))


def peak_gib() -> float:
    """VmHWM of this process."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    return float("nan")


if __name__ == "__main__":
    sys.exit(main())
