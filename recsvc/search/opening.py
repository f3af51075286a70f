"""Which index a file of a release holds, by its manifest."""

from pathlib import Path

from recsvc.releases.manifest import SearchEntry
from recsvc.search.flat import FlatIndex
from recsvc.search.hnsw import HnswIndex
from recsvc.search.index import VectorIndex
from recsvc.search.ivf import IvfIndex


def open_index(path: Path, entry: SearchEntry | None) -> VectorIndex:
    """Map an index file whose sum has been verified.

    Args:
        path: The file.
        entry: What the manifest says of it; None: it is exhaustive.

    Raises:
        ReleaseError: If the file is missing or is no such index.
    """
    if entry is None or entry.kind == "flat":
        return FlatIndex.open(path)
    if entry.kind == "hnsw":
        return HnswIndex.open(path, ef_search=entry.parameters["ef_search"])
    return IvfIndex.open(path, probes=entry.parameters["probes"])
