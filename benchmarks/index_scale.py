"""Search in a hundred thousand to a million vectors: time, recall, memory and filters of each index, as Markdown.

    python benchmarks/index_scale.py [--vectors 1000000] [--threads 2] [--kinds flat hnsw ivf] [--next 100000]

The vectors are drawn: 2,000 Gaussian clusters of uneven size with a low-rank part that all share, of unit length. The
queries are vectors of the set with noise of half their length. Every index is built and tuned as `recsvc publish` does
it (recall@10 of at least 0.95), written, and searched by a process of its own on one thread, one query at a time; "own"
is the memory that it holds beyond the mapped file, "CPU" the median of the processor's time. Filters allow a share of
the rows drawn evenly, or all of a share of the clusters; "exact" is the share of their searches that went over the
allowed rows alone.

A last table compares graphs for next items (`query . vector + bias` with norms and biases that grow with popularity):
over `[vector, bias]` for inner products, the same with the bias brought to the scale of the queries, and the
norm-augmented form of both, in which the largest inner product is the nearest neighbour (Bachrach et al., "Speeding up
the Xbox recommender system", 2014).
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

import faiss
import numpy as np
from numpy.typing import NDArray

from recsvc.releases import SearchEntry
from recsvc.search import ApproximateIndex, open_index
from training.export import unit_length, write_cosine_index
from training.index_config import IndexConfig
from training.indexes import Questions, look_alikes, make_index, next_scale, next_vectors, tune_index

Float32 = NDArray[np.float32]

CLUSTERS, RANK, BLOCK = 2000, 16, 100_000
SHARES = (0.5, 0.05, 0.005)
QUERIES = 300


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2, help="that build an index")
    parser.add_argument("--kinds", nargs="+", choices=("flat", "hnsw", "ivf"), default=["flat", "hnsw", "ivf"])
    parser.add_argument("--next", type=int, default=100_000, help="items of the comparison for next items; 0: none")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(search_all(**arguments.child)))
        return 0

    faiss.omp_set_num_threads(arguments.threads)
    once = "vectors | index | build CPU s | file MB | open ms | own MB"
    print(f"| {once} | allowed | CPU ms | p50 ms | p99 ms | recall@10 | exact |\n|{'---|' * 12}")
    with tempfile.TemporaryDirectory() as folder:
        if "flat" in arguments.kinds:
            measure(Path(folder), "flat", 100_000, arguments.dim)
        for kind in arguments.kinds:
            measure(Path(folder), kind, arguments.vectors, arguments.dim)
    if arguments.next:
        compare_next(arguments.next, arguments.dim)
    print(
        f"\nd={arguments.dim}; built on {arguments.threads} threads, searched on one; "
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load at the end "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, FAISS {faiss.__version__}."
    )
    return 0


def measure(folder: Path, kind: str, count: int, dim: int) -> None:
    """Build one index and print a row for each filter."""
    vectors, clusters = drawn_vectors(count, dim)
    rng = np.random.default_rng(1)
    config = IndexConfig(queries=1000)
    path, entry = folder / f"{kind}.faiss", None
    begun = time.process_time()
    if kind == "flat":
        write_cosine_index(vectors, path)
        seconds = time.process_time() - begun
    else:
        index, fixed = make_index(kind, vectors, config)  # type: ignore[arg-type]
        seconds = time.process_time() - begun
        faiss.write_index(index, str(path))
        del index
        asked = Questions.ask(look_alikes(vectors, config.queries, rng), vectors)
        entry = tune_index(path, kind, fixed, asked, config.recall)  # type: ignore[arg-type]
        assert entry is not None, f"no setting of {kind} reaches a recall of {config.recall}"
    masks = filters(clusters, rng)
    queries = look_alikes(vectors, QUERIES, rng)
    tenth = [Questions.ask(queries, vectors if mask is None else vectors[mask]).tenth for mask in masks.values()]
    del vectors
    np.savez(folder / "asked.npz", queries=queries, tenth=tenth, **{n: m for n, m in masks.items() if m is not None})
    job = {
        "path": str(path),
        "asked": str(folder / "asked.npz"),
        "entry": None if entry is None else entry.model_dump(mode="json"),
        "allowed": list(masks),
    }
    command = [sys.executable, __file__, "--child", json.dumps(job)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found = json.loads(output)
    name = kind if entry is None else f"{kind} ({', '.join(f'{k} {v}' for k, v in entry.parameters.items())})"
    once = f"{seconds:,.0f} | {path.stat().st_size / 1e6:,.0f} | {found['open_ms']:.1f} | {found['own_mb']:.1f}"
    for allowed, row in found["rows"].items():
        times = f"{row['cpu']:.2f} | {row['p50']:.2f} | {row['p99']:.2f}"
        print(f"| {count:,} | {name} | {once} | {allowed} | {times} | {row['recall']:.3f} | {row['exact']:.0%} |")
        sys.stdout.flush()
        name, once = "", " | | | "
    path.unlink()


def filters(clusters: NDArray[np.integer], rng: np.random.Generator) -> dict[str, NDArray[np.bool_] | None]:
    """The rows that each filter allows, by what it is called."""
    masks: dict[str, NDArray[np.bool_] | None] = {"all": None}
    for share in SHARES:
        masks[f"{share:.1%} of the rows"] = rng.random(len(clusters)) < share
    for share in SHARES[:2]:
        masks[f"{share:.1%} of the clusters"] = (rng.random(CLUSTERS) < share)[clusters]
    return masks


def search_all(path: str, asked: str, entry: dict[str, Any] | None, allowed: list[str]) -> dict[str, Any]:
    """Open an index and search it; times, memory and recall."""
    faiss.omp_set_num_threads(1)
    arrays = np.load(asked)
    queries = arrays["queries"]
    masks = {name: arrays.get(name) for name in allowed}
    own = anonymous_mb()
    begun = time.perf_counter()
    index = open_index(Path(path), None if entry is None else SearchEntry.model_validate(entry))
    open_ms = 1e3 * (time.perf_counter() - begun)
    went_exact = count_exact(index)
    rows = {}
    for (name, mask), tenth in zip(masks.items(), arrays["tenth"], strict=True):
        for query in queries:  # pages in what will be read
            index.search(query, 10, allowed=mask)
        went_exact.clear()
        times, processor_times, hits = [], [], 0
        for query, least in zip(queries, tenth, strict=True):
            begun, used = time.perf_counter(), time.thread_time()
            _, scores = index.search(query, 10, allowed=mask)
            processor_times.append(1e3 * (time.thread_time() - used))
            times.append(1e3 * (time.perf_counter() - begun))
            hits += int(np.count_nonzero(scores >= least - 1e-5))
        rows[name] = {
            "cpu": float(np.percentile(processor_times, 50)),
            "p50": float(np.percentile(times, 50)),
            "p99": float(np.percentile(times, 99)),
            "recall": hits / (10 * len(queries)),
            "exact": 1.0 if entry is None else len(went_exact) / len(queries),
        }
    return {"open_ms": open_ms, "own_mb": anonymous_mb() - own, "rows": rows}


def count_exact(index: Any) -> list[int]:
    """A list that grows by one with every exact search of an approximate index."""
    calls: list[int] = []
    if isinstance(index, ApproximateIndex):
        exact = index._exact

        def counted(query: Float32, rows: NDArray[np.int64], k: int) -> Any:
            calls.append(len(rows))
            return exact(query, rows, k)

        index._exact = counted  # type: ignore[method-assign]
    return calls


def compare_next(count: int, dim: int) -> None:
    """Graphs for next items, by how far norms and biases spread."""
    print(
        f"\n| {count:,} next items: norms, biases | graph over | build CPU s | ef 32 | ef 64 | ef 128 | ef 256 |\n"
        "|---|---|---|---|---|---|---|"
    )
    directions, _ = drawn_vectors(count, dim, clusters=count // 100)
    rng = np.random.default_rng(2)
    popularity = rng.permutation(np.arange(1, count + 1, dtype=np.float64)) ** -0.8
    known = (np.log(popularity) - np.log(popularity).mean()) / np.log(popularity).std()
    for norms, biases in ((0.1, 0.5), (0.3, 1.0), (0.6, 2.0)):
        spread = np.exp(0.7 * norms * (known + rng.normal(size=count)))
        items = (directions * spread[:, None]).astype(np.float32)
        bias = (biases * known).astype(np.float32)
        near = directions[rng.choice(count, 1000, p=popularity / popularity.sum())]
        noise = unit_length(rng.normal(size=near.shape).astype(np.float32))
        queries = 12 * unit_length(near + np.float32(0.6) * noise)
        label = f"e^({norms}·N), {biases}·N"
        for name, scale in (("[v, b]", 1.0), ("[v, b / s]", next_scale(queries))):
            held = next_vectors(items, bias, scale)
            asked = np.column_stack([queries, np.full(len(queries), scale, np.float32)])
            print(graph_row(label, name, held, asked), flush=True)
            lengths = np.square(held, dtype=np.float64).sum(axis=1)
            level = np.column_stack([held, np.sqrt(lengths.max() - lengths).astype(np.float32)])
            zero = np.column_stack([asked, np.zeros(len(asked), np.float32)])
            print(graph_row(label, name.replace("]", ", √(M² - norm²)]"), level, zero), flush=True)


def graph_row(label: str, name: str, held: Float32, asked: Float32) -> str:
    """Recall at 10, and milliseconds of the processor, by the length of the queue."""
    begun = time.process_time()
    index, _ = make_index("hnsw", held, IndexConfig())
    seconds = time.process_time() - begun
    least = Questions.ask(asked, held).tenth
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    cells = []
    for places in (32, 64, 128, 256):
        parameters = faiss.SearchParametersHNSW(efSearch=places)
        begun = time.process_time()
        scores, _ = index.search(asked, 10, params=parameters)
        took = 1e3 * (time.process_time() - begun) / len(asked)
        found = np.mean(scores >= least[:, None] - 1e-5 * np.maximum(1, np.abs(least[:, None])))
        cells.append(f"{found:.3f} ({took:.2f} ms)")
    faiss.omp_set_num_threads(threads)
    return f"| {label} | {name} | {seconds:,.0f} | {' | '.join(cells)} |"


def drawn_vectors(count: int, dim: int, *, clusters: int = CLUSTERS) -> tuple[Float32, NDArray[np.int64]]:
    """Unit vectors [V, d] and the cluster of each [V]."""
    rng = np.random.default_rng(0)
    centres = 0.7 * rng.normal(size=(clusters, dim)).astype(np.float32)
    shared = rng.normal(size=(RANK, dim)).astype(np.float32) / np.float32(np.sqrt(RANK))
    of = rng.choice(clusters, size=count, p=rng.dirichlet(np.full(clusters, 0.5)))
    vectors = np.empty((count, dim), np.float32)
    for start in range(0, count, BLOCK):
        part = of[start : start + BLOCK]
        block = centres[part] + rng.normal(size=(len(part), RANK)).astype(np.float32) @ shared
        block += 0.5 * rng.normal(size=block.shape).astype(np.float32)
        vectors[start : start + BLOCK] = unit_length(block)
    return vectors, of


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1e3
    return float("nan")


if __name__ == "__main__":
    sys.exit(main())
