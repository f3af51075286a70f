"""The indexes of a release: chosen by the number of vectors, tuned to a recall, and measured against exact search.

An index is asked as the service will ask it, one query at a time through ``recsvc.search``. One half of the queries
chooses the least effort that reaches the recall asked for; what the manifest says is measured on the other half. For
look-alikes the queries are vectors of the space with noise of half their length; for next items they are what the
exported encoder makes of real histories. On one thread the same vectors give the same files; with more, the order in
which FAISS links the vectors of a graph is up to the threads.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from recsvc.answers.encoder import SequenceEncoder
from recsvc.answers.tensors import map_tensors
from recsvc.releases import NextIndexEntry, SearchEntry, SpaceEntry
from recsvc.search import ApproximateIndex, VectorIndex, open_index
from training.export import unit_length
from training.index_config import IndexConfig
from training.progress import Reporter

Float32 = NDArray[np.float32]
Kind = Literal["hnsw", "ivf"]
Histories = Callable[[], Sequence[NDArray[np.integer]]]

_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_NOISE = 0.5
# Two sums of the same products in another order differ by less than this share of the larger of 1 and the sum.
_ROUNDING = 1e-5
# k-means sees this many vectors for each cell at most.
_TRAINED_ON = 64


@dataclass(frozen=True)
class Questions:
    """Queries [Q, d], and the tenth best exact score of each [Q]: what scores no less is one of the ten best."""

    queries: Float32
    tenth: Float32

    @classmethod
    def ask(cls, queries: Float32, vectors: Float32) -> "Questions":
        """Answer the queries by exhaustive search in the vectors [V, d]."""
        scores, _ = faiss.knn(queries, vectors, min(10, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        return cls(queries, scores[:, -1])

    def halves(self) -> tuple["Questions", "Questions"]:
        """Every other one, and the rest."""
        first, second = (Questions(self.queries[start::2], self.tenth[start::2]) for start in (0, 1))
        return first, second


def index_space(
    entry: SpaceEntry,
    release: Path,
    config: IndexConfig,
    *,
    histories: Histories | None = None,
    threads: int,
    reporter: Reporter,
) -> SpaceEntry:
    """Give an exported space the indexes that the configuration asks for, in place of its exhaustive one.

    Args:
        entry: what has been exported, with an exhaustive index.
        release: the folder that the entry's names are of; it is not published yet.
        config: which indexes, and how good.
        histories: gives real ones, at least two, in rows of the space, oldest first and no longer than its encoder
            reads; None where it reads none.
        threads: that build and measure.
        reporter: told what has been chosen.

    Returns:
        The entry of the space with its indexes.
    """
    kind: Kind
    if config.kind == "auto" and entry.count >= config.exact_below:
        kind = "hnsw"
    elif config.kind in ("hnsw", "ivf") and entry.count:
        kind = config.kind
    else:
        return entry
    space = entry.table.partition("/")[0]
    with _threads(threads):
        path = release / entry.index
        unit = _stored(path)
        rng = np.random.default_rng(config.seed)
        search = build_index(path, kind, unit, look_alikes(unit, config.queries, rng), config)
        reporter.line(f"{space}: {_said(search, kind, entry.count, config)}")
        next_index = None
        if histories is not None:
            next_index = _index_next_items(entry, release, kind, config, histories())
            said = _said(None if next_index is None else next_index.search, kind, entry.count, config)
            reporter.line(f"{space}, next items: {said}")
    return entry.model_copy(update={"search": search, "next_index": next_index})


def build_index(path: Path, kind: Kind, vectors: Float32, queries: Float32, config: IndexConfig) -> SearchEntry | None:
    """Build, tune and measure an index of vectors [V, d]; the file at ``path`` is replaced if it is good enough.

    Returns:
        What the manifest says of it; None, and no file, where no setting that looks at part of the vectors reaches the
        recall asked for.
    """
    index, fixed = make_index(kind, vectors, config)
    staging = path.with_name(f"{path.name}.building")
    faiss.write_index(index, str(staging))
    del index  # as large as the vectors
    chosen = tune_index(staging, kind, fixed, Questions.ask(queries, vectors), config.recall)
    if chosen is None:
        staging.unlink()
    else:
        staging.replace(path)
    return chosen


def make_index(kind: Kind, vectors: Float32, config: IndexConfig) -> tuple[Any, dict[str, int]]:
    """The FAISS index of vectors [V, d], in memory, and the parameters with which it was built."""
    count, dim = vectors.shape
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, config.m, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = config.ef_construction
        graph.add(vectors)
        return graph, {"m": config.m, "ef_construction": config.ef_construction}
    lists = min(config.lists or round(4 * math.sqrt(count)), count)
    cells = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    cells.cp.seed = config.seed + 1  # FAISS takes 0 for none
    cells.cp.max_points_per_centroid = _TRAINED_ON
    cells.cp.min_points_per_centroid = 1  # or it warns on the error output
    cells.train(vectors)
    cells.add(vectors)
    cells.make_direct_map()
    return cells, {"lists": lists}


def tune_index(
    path: Path, kind: Kind, fixed: dict[str, int], questions: Questions, target: float
) -> SearchEntry | None:
    """The least effort that finds enough on both halves of the questions, if it is less than exhaustive search's."""
    chooses, measures = questions.halves()
    name, most = ("ef_search", _EFFORTS[-1]) if kind == "hnsw" else ("probes", fixed["lists"])
    efforts = _EFFORTS if kind == "hnsw" else [2**power for power in range(most.bit_length())]
    for effort in efforts:
        entry = SearchEntry(
            kind=kind, parameters=fixed | {name: effort}, recall_at_10=0.0, queries=len(measures.queries)
        )
        index = open_index(path, entry)
        assert isinstance(index, ApproximateIndex), f"{kind} is approximate"
        if not index.approximates(10):
            return None
        if recall(index, chooses) < target:
            continue
        measured = recall(index, measures)
        if measured >= target:
            return entry.model_copy(update={"recall_at_10": round(measured, 4)})
    return None


def recall(index: VectorIndex, questions: Questions) -> float:
    """The share of the ten best of every question that the index finds, asked as the service asks it."""
    k = min(10, len(index))
    lowest = questions.tenth - _ROUNDING * np.maximum(1, np.abs(questions.tenth))
    found = [
        np.count_nonzero(index.search(query, k)[1] >= least)
        for query, least in zip(questions.queries, lowest, strict=True)
    ]
    return float(np.mean(found)) / k


def look_alikes(vectors: Float32, count: int, rng: np.random.Generator) -> Float32:
    """Unit queries [count, d] near some of the unit vectors [V, d]."""
    noise = rng.normal(size=(count, vectors.shape[1])).astype(np.float32)
    near = vectors[rng.integers(0, len(vectors), size=count)]
    return unit_length(near + _NOISE * unit_length(noise))


def next_vectors(vectors: Float32, bias: Float32, scale: float) -> Float32:
    """What an index of next items holds, [V, d + 1]; see ``recsvc.answers.next_items``."""
    return np.column_stack([vectors, bias / np.float32(scale)])


def next_scale(queries: Float32) -> float:
    """The power of two nearest to the usual length of the queries [Q, d]: dividing by it rounds nothing."""
    length = math.sqrt(float(np.square(queries, dtype=np.float64).sum(axis=1).mean()))
    return 2.0 ** round(math.log2(length)) if length > 0 else 1.0


def _index_next_items(
    entry: SpaceEntry, release: Path, kind: Kind, config: IndexConfig, histories: Sequence[NDArray[np.integer]]
) -> NextIndexEntry | None:
    assert entry.encoder is not None, "what reads histories has an encoder"
    table = map_tensors(release / entry.table)
    encoder = SequenceEncoder.open(release / entry.encoder, dim=entry.dim)
    queries = np.stack([encoder.encode(table["vectors"][rows]) for rows in histories])
    scale = next_scale(queries)
    vectors = next_vectors(table["vectors"], table["bias"], scale)
    questions = np.column_stack([queries, np.full(len(queries), scale, np.float32)])
    file = f"{Path(entry.index).parent}/next.faiss"
    search = build_index(release / file, kind, vectors, questions, config)
    return None if search is None else NextIndexEntry(file=file, scale=scale, search=search)


def _stored(path: Path) -> Float32:
    """The vectors [V, d] of an exhaustive index, in memory: the file gives way to the new one."""
    index = faiss.read_index(str(path))
    stored: Float32 = index.reconstruct_n(0, index.ntotal)
    return stored


def _said(search: SearchEntry | None, kind: Kind, count: int, config: IndexConfig) -> str:
    if search is None:
        return (
            f"exhaustive search over {count:,} vectors, since no quicker setting of {kind} has a recall@10 of "
            f"{config.recall}; raise index.m and index.ef_construction, or lower index.recall"
        )
    parameters = ", ".join(f"{name} {value}" for name, value in search.parameters.items())
    measured = f"recall@10 {search.recall_at_10:.3f} on {search.queries:,} queries"
    return f"{kind} over {count:,} vectors, {measured} ({parameters})"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
