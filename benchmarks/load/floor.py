"""The floor under an answer: the encoder and the search alone, on the same histories, in this process.

The encoder is run by ONNX Runtime as the service runs it, on vectors that lie ready; the search is one product with
the mapped table, the bias and an unordered selection, or FAISS's own search where the release has an index for next
items. No ids, no checks, no exclusion, no order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import faiss
import numpy as np
import onnxruntime
from load.outcomes import percentiles
from load.releases import Subject
from numpy.typing import NDArray

from recsvc.answers.bundle import Space, open_bundle
from recsvc.releases import read_manifest

_RUNS = 1000


@dataclass(frozen=True)
class Floor:
    """Median microseconds of the encoder and of the search for one history each."""

    encode_us: float
    search_us: float

    @property
    def whole_us(self) -> float:
        """Both together."""
        return self.encode_us + self.search_us


def measure_floor(subject: Subject, *, k: int) -> Floor:
    """Time both on the histories of a subject, one thread, on the client's core while no client runs.

    The histories are those of the requests, cut as the service cuts them; those without a known item are left out.
    """
    bundle = open_bundle(subject.folder, subject.release)
    space = bundle.spaces["behaviour"]
    assert space.sequences is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(subject.folder / "behaviour" / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
    )
    search = _search(subject, space, space.sequences.bias, k)
    longest = space.sequences.max_history
    encoding, searching = [], []
    for history in subject.histories[:_RUNS]:
        rows = [space.row_of[row] for row in bundle.catalogue.rows(history) if row is not None]
        vectors = space.vectors[[row for row in rows if row >= 0][-longest:]][np.newaxis]
        if not vectors.size:
            continue
        inputs = {"vectors": vectors, "mask": np.ones(vectors.shape[:2], dtype=np.bool_)}
        started = perf_counter()
        query = session.run(None, inputs)[0][0]
        encoded = perf_counter()
        search(query)
        searching.append(1e6 * (perf_counter() - encoded))
        encoding.append(1e6 * (encoded - started))
    bundle.catalogue.close()
    return Floor(percentiles(np.array(encoding), (50.0,))[0], percentiles(np.array(searching), (50.0,))[0])


def _search(
    subject: Subject, space: Space, bias: NDArray[np.float32], k: int
) -> Callable[[NDArray[np.float32]], object]:
    """What finds the best of a query, one thread."""
    entry = read_manifest(subject.folder).spaces["behaviour"].next_index
    if entry is None:

        def score_all(query: NDArray[np.float32]) -> object:
            scores = space.vectors @ query
            scores += bias
            return np.argpartition(scores, len(scores) - k)[len(scores) - k :]

        return score_all
    faiss.omp_set_num_threads(1)
    index = faiss.read_index(str(subject.folder / entry.file), faiss.IO_FLAG_MMAP_IFC)
    if entry.search.kind == "hnsw":
        parameters = faiss.SearchParametersHNSW(efSearch=entry.search.parameters["ef_search"])  # type: ignore[attr-defined]
    else:
        parameters = faiss.SearchParametersIVF(nprobe=entry.search.parameters["probes"])  # type: ignore[call-arg]
    scale = np.float32(entry.scale)
    return lambda query: index.search(np.append(query, scale)[np.newaxis], k, params=parameters)
