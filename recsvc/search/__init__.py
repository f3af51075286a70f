"""Exact selection and vector search: one tie rule, masks before the selection, indexes behind a protocol."""

from recsvc.search.index import FlatIndex, VectorIndex
from recsvc.search.topk import top_k

__all__ = ["FlatIndex", "VectorIndex", "top_k"]
