"""Loading ten million typed edges: time and peak memory, from CSV, gzipped CSV and Parquet, as a Markdown table.

    python benchmarks/graph_load.py --edges 10000000 [--weights] [--out FOLDER]

Makes a synthetic graph (seeded, so always the same) of authors, papers, venues and terms with a fifth as many nodes as
edges, unequal degrees and text ids; writes it in each form; and loads each in a process of its own, from the file to
the graph with both adjacencies of every relation. Memory is the process's high-water mark (VmHWM), Python, NumPy, Arrow
and Polars included; "imports" is what it was before anything was read.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

LIMIT_GIB = 2
FORMS = ("edges.csv", "edges.csv.gz", "edges.parquet")
RELATIONS = (  # relation, target type, share of the edges, targets as a share of the edges
    ("written_by", "author", 0.45, 0.12),
    ("has_term", "term", 0.45, 0.01),
    ("published_in", "venue", 0.1, 0.0005),
)
PAPERS = 0.07  # as a share of the edges


def make_edges(count: int, weights: bool, seed: int = 0) -> pl.DataFrame:
    """``count`` edges in the columns of ``edges.*``."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, target, share, size in RELATIONS:
        edges = round(share * count)
        sources = rng.integers(0, max(1, round(PAPERS * count)), edges)
        targets = (rng.random(edges) ** 3 * max(1, round(size * count))).astype(np.int64)  # a few have most of them
        columns = {
            "source_type": pl.repeat("paper", edges, eager=True),
            "source_id": pl.Series(sources).cast(pl.String).str.zfill(8) + "-p",
            "relation": pl.repeat(name, edges, eager=True),
            "target_type": pl.repeat(target, edges, eager=True),
            "target_id": f"{target} " + pl.Series(targets).cast(pl.String),
        }
        if weights:
            columns["weight"] = pl.Series(np.round(rng.exponential(1, edges) + 0.01, 3))
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts).sample(fraction=1, shuffle=True, seed=seed)


def write(edges: pl.DataFrame, path: Path) -> None:
    """Write the edges in the form that the file's name says."""
    if path.suffix == ".parquet":
        edges.write_parquet(path)
    elif path.suffix == ".gz":
        edges.write_csv(path.with_suffix(""))
        subprocess.run(["gzip", "-1", "-k", "-f", str(path.with_suffix(""))], check=True)
    else:
        edges.write_csv(path)


def load(path: Path) -> dict[str, float]:
    """Load one file in this process; seconds and high-water marks in MiB."""
    from recsvc.data.graph import HeteroGraph, build_graph, read_graph
    from recsvc.data.problems import Problems

    imports, begun = high_water(), time.perf_counter()
    problems = Problems()
    tables = read_graph(None, path, problems)
    problems.raise_if_any()
    read = time.perf_counter()
    graph = build_graph(tables)
    built = time.perf_counter()
    figures = {"imports": imports, "read_s": read - begun, "build_s": built - read, "peak": high_water()}
    del tables
    folder = path.parent / "saved"
    graph.save(folder)
    begun = time.perf_counter()
    again = HeteroGraph.load(folder)
    figures["load_s"] = time.perf_counter() - begun
    figures |= {"nodes": again.num_nodes, "edges": again.num_edges}
    return figures


def high_water() -> float:
    """VmHWM of this process in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Make, write, load and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--weights", action="store_true", help="with a column of weights")
    parser.add_argument("--forms", default=",".join(FORMS), help="which files to load, of " + ", ".join(FORMS))
    parser.add_argument("--out", type=Path, help="where to write the files; a folder that is removed if left out")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(load(arguments.load)))
        return
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="graph_load"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        edges = make_edges(arguments.edges, arguments.weights)
        rows = []
        for form in arguments.forms.split(","):
            path = folder / form
            write(edges, path)
            done = subprocess.run(
                [sys.executable, __file__, "--load", str(path)], check=True, capture_output=True, text=True
            )
            rows.append((form, path.stat().st_size / 2**20, json.loads(done.stdout.splitlines()[-1])))
            shutil.rmtree(folder / "saved")
    finally:
        if not arguments.out:
            shutil.rmtree(folder)
    print(table(rows, arguments.weights))


def table(rows: list[tuple[str, float, dict[str, float]]], weights: bool) -> str:
    """Markdown."""
    first = rows[0][2]
    lines = [
        f"{first['edges']:,.0f} edges{' with weights' if weights else ''}, {first['nodes']:,.0f} nodes, Python "
        f"{platform.python_version()}, Polars {pl.__version__}; goal: peak below {LIMIT_GIB} GiB",
        "",
        "| file | MiB | read and check, s | adjacencies, s | peak, MiB | of it imports | saved graph loaded, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for form, size, each in rows:
        mark = "" if each["peak"] < LIMIT_GIB * 1024 else " (over)"
        lines.append(
            f"| {form} | {size:,.0f} | {each['read_s']:.1f} | {each['build_s']:.1f} | {each['peak']:,.0f}{mark} | "
            f"{each['imports']:,.0f} | {each['load_s']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
