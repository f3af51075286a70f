"""Skip-gram on the same walks by this package, gensim and PyG: tokens per second of one core, and what comes of them.

    python benchmarks/graph_speed.py ../shared/data/dblp-four-area [--pyg PYTHON] [--quality 2]

Trainers take turns: each trains a fresh model on the same walks, several times, on one thread; the figure is the median
of tokens over CPU seconds (of the whole process, so gensim's reading thread counts). PyG samples its own walks of the
same length along the same meta-path; PYTHON is an interpreter that has torch-geometric. Then the shared trainer runs on
one and two threads by turns, by wall clock, best of several. With --quality W, each also trains on W walks from every
author, and labels are read out of its vectors. Prints a Markdown table. Shared = negatives drawn once for a window.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # gensim's BLAS

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import gensim
import numba
import numpy as np
from gensim.models import Word2Vec
from numpy.typing import NDArray

from recsvc.data import read_dataset
from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import WalkPlan, plan_walks
from training.config import load_config
from training.graph.counting import WalkCounts, block_walks, count_walks, num_blocks
from training.graph.data import graph_of
from training.graph.evaluate import LabelledNodes, judge_labels, labelled_nodes
from training.graph.model import SkipGram

Float32 = NDArray[np.float32]

DIM, WINDOW, NEGATIVES, LENGTH = 128, 7, 5, 100
META_PATH = "author-paper-venue-paper-author"
MODELS = {
    f"ours, {rule}, {'shared' if shared else 'word2vec order'}": SkipGramConfig(
        dim=DIM, window=WINDOW, negatives=NEGATIVES, rule=rule, share_negatives=shared
    )
    for rule in ("any", "context-type", "input-type")
    for shared in (True, False)
}
JUDGED = ("macro_f1@20%", "macro_f1@80%", "nmi", "ari")
GENSIM, PYG = "gensim, skip-gram", "PyG, MetaPath2Vec"
DRIVER = Path(__file__).parent / "peers" / "pyg_driver.py"


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--tokens", type=int, default=100_000, help="tokens of a timed training")
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each; 0 = no table of speeds")
    parser.add_argument(
        "--quality", type=int, default=0, help="walks from every author of the trainings that are judged"
    )
    parser.add_argument("--pyg", type=Path, help="Python that has torch-geometric")
    arguments = parser.parse_args()

    graph = graph_of(read_dataset(arguments.dataset, load_config().data), load_config())
    bench = Bench(graph, arguments.tokens, arguments.pyg)
    speeds: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        for name, timed in bench.contenders():
            speeds.setdefault(name, []).append(timed())
            print(f"{name}: {speeds[name][-1]:,.0f} tokens/s", file=sys.stderr)
    if arguments.repeats:
        report_speeds(speeds, bench.threads(arguments.repeats), arguments)
    if arguments.quality:
        report_quality(bench.quality(arguments.quality), arguments)
    print(
        f"{arguments.dataset.name}, {META_PATH}, walks of {LENGTH} tokens from authors, d={DIM}, full window {WINDOW}, "
        f"{NEGATIVES} negatives."
    )
    processor = platform.processor() or platform.machine()
    print(
        f"{processor}, {os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, numba {numba.__version__}, gensim {gensim.__version__}, "
        f"NumPy {np.__version__}."
    )
    return 0


class Bench:
    """The walks, and what each trainer does with them."""

    def __init__(self, graph: HeteroGraph, tokens: int, pyg: Path | None) -> None:
        self.graph, self.pyg = graph, pyg
        self.plan, self.counts = self._walks(1)
        self.blocks = int(np.searchsorted(np.cumsum(self.counts.blocks), tokens)) + 1
        self.tokens = int(self.counts.blocks[: self.blocks].sum())
        self._sentences = sentences(self.plan, num_blocks(self.plan))

    def contenders(self) -> Iterator[tuple[str, Callable[[], float]]]:
        """Names, and functions that train once and return tokens a second."""
        for name, config in MODELS.items():
            yield name, lambda config=config: self._ours(config)
        yield GENSIM, self._gensim
        if self.pyg:
            yield PYG, lambda: self._pyg(self.tokens)[0]

    def threads(self, repeats: int) -> tuple[float, float]:
        """How many times as fast the shared trainer is on two threads as on one: by wall clock, the best of many tries
        of each; and by CPU seconds, which other processes disturb less, as two cores that are free would have it."""
        wall, processor = {1: 0.0, 2: 0.0}, {1: 0.0, 2: 0.0}
        for _ in range(2 * repeats):
            for count in (1, 2):
                with SkipGram(self.plan, self.counts, MODELS["ours, context-type, shared"], 0, count) as model:
                    model.train(0, 2)
                    tokens = int(self.counts.blocks[2 : self.blocks].sum())
                    begun, used = time.perf_counter(), time.process_time()
                    model.train(2, self.blocks - 2)
                    wall[count] = max(wall[count], tokens / (time.perf_counter() - begun))
                    processor[count] = max(processor[count], tokens / (time.process_time() - used))
        return wall[2] / wall[1], 2 * processor[2] / processor[1]

    def quality(self, per_node: int) -> dict[str, dict[str, float]]:
        """What labels say of the vectors of whole trainings on the same walks."""
        plan, counts = self._walks(per_node)
        nodes, _ = labelled_nodes(self.graph, counts.nodes > 0)
        nodes = [each for each in nodes if each.node_type == "author"]
        found = {}
        for name, config in MODELS.items():
            with SkipGram(plan, counts, config, 0, 1) as model:
                model.train(0, model.blocks)
            found[name] = _judged(name, nodes, model.vectors)
        model = self._word2vec()
        walks = sentences(plan, num_blocks(plan))
        model.build_vocab(walks)
        model.train(walks, total_examples=len(walks), epochs=1)
        vectors = np.zeros((plan.num_nodes, DIM), np.float32)
        vectors[[int(key) for key in model.wv.index_to_key]] = model.wv.vectors
        found[GENSIM] = _judged(GENSIM, nodes, vectors)
        if self.pyg:
            vectors[: len(self.graph.nodes["author"])] = self._pyg(counts.total)[1]
            found[PYG] = _judged(PYG, nodes, vectors)
        return found

    def _walks(self, per_node: int) -> tuple[WalkPlan, WalkCounts]:
        config = WalkConfig(per_node=per_node, length=LENGTH, starts=("author",))
        plan = plan_walks(self.graph, [parse_meta_path(META_PATH, self.graph)], [1.0], config, 0)
        return plan, count_walks(plan, 1)

    def _ours(self, config: SkipGramConfig) -> float:
        with SkipGram(self.plan, self.counts, config, 0, 1) as model:
            model.train(0, 1)  # compiles
            begun = time.process_time()
            model.train(1, self.blocks - 1)
            return float((self.tokens - self.counts.blocks[0]) / (time.process_time() - begun))

    def _word2vec(self) -> Word2Vec:
        return Word2Vec(
            vector_size=DIM, window=WINDOW, negative=NEGATIVES, sg=1, shrink_windows=False, sample=0, min_count=1,
            workers=1,
        )  # fmt: skip

    def _gensim(self) -> float:
        model = self._word2vec()
        model.build_vocab(self._sentences)
        walks = sentences(self.plan, self.blocks)
        begun = time.process_time()
        model.train(walks, total_examples=len(walks), epochs=1)
        return self.tokens / (time.process_time() - begun)

    def _pyg(self, tokens: int) -> tuple[float, Float32]:
        """Speed, and the vectors of the authors."""
        with tempfile.TemporaryDirectory() as folder:
            given, taken = Path(folder) / "edges.npz", Path(folder) / "authors.npy"
            written, published = (
                next(each for each in self.graph.relations if each.key.name == name)
                for name in ("written_by", "published_in")
            )
            sizes = [len(self.graph.nodes[name]) for name in ("author", "paper", "venue")]
            np.savez(given, written=edges(written), published=edges(published), sizes=sizes)
            settings = {"dim": DIM, "window": WINDOW, "negatives": NEGATIVES, "length": LENGTH, "tokens": tokens}
            command = [str(self.pyg), str(DRIVER), str(given), str(taken), json.dumps(settings)]
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            return said["tokens"] / said["cpu_seconds"], np.load(taken)


def _judged(name: str, nodes: list[LabelledNodes], vectors: Float32) -> dict[str, float]:
    found = judge_labels(nodes, vectors)
    print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in found.items()), file=sys.stderr)
    return found


def sentences(plan: WalkPlan, blocks: int) -> list[list[str]]:
    """The walks of the first blocks, as gensim takes them."""
    found = []
    for block in range(blocks):
        walks = plan.make(*block_walks(plan, block))
        words = [str(token) for token in walks.tokens.tolist()]
        found += [words[begin:end] for begin, end in pairwise([0, *walks.ends.tolist()])]
    return found


def edges(relation) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
    """Rows of source and target of every edge, int64 [2, E]."""
    return np.stack([relation.sources, relation.targets]).astype(np.int64)


def report_speeds(speeds: dict[str, list[float]], threads: tuple[float, float], arguments: argparse.Namespace) -> None:
    """Print the table of speeds."""
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print("| trainer | tokens/s of one core | of gensim |\n|---|---|---|")
    for name, speed in medians.items():
        print(f"| {name} | {speed:,.0f} | {speed / medians[GENSIM]:.2f} |")
    print(
        f"\nTwo threads, shared, context-type: {threads[0]:.2f} times as fast as one by wall clock, {threads[1]:.2f} "
        f"times by CPU seconds (best of {2 * arguments.repeats} tries of each).\n"
        f"Median of {arguments.repeats} trainings of {arguments.tokens:,} tokens.",
        flush=True,
    )


def report_quality(quality: dict[str, dict[str, float]], arguments: argparse.Namespace) -> None:
    """Print the table of what labels say."""
    print(f"\n| trainer | {' | '.join(JUDGED)} |\n|---|{'---|' * len(JUDGED)}")
    for name, figures in quality.items():
        print(f"| {name} | {' | '.join(f'{figures[key]:.4f}' for key in JUDGED)} |")
    print(f"\nAfter {arguments.quality} walks from every author, one seed; linear SVM on labelled authors, k-means.")


if __name__ == "__main__":
    sys.exit(main())
