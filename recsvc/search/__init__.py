"""Exact selection and vector search: one tie rule, masks before the selection, indexes behind a protocol."""

from recsvc.search.approximate import ApproximateIndex
from recsvc.search.flat import FlatIndex
from recsvc.search.hnsw import HnswIndex
from recsvc.search.index import VectorIndex
from recsvc.search.ivf import IvfIndex
from recsvc.search.opening import open_index
from recsvc.search.topk import top_k

__all__ = ["ApproximateIndex", "FlatIndex", "HnswIndex", "IvfIndex", "VectorIndex", "open_index", "top_k"]
