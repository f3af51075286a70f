"""Answers in bulk: next items for all users, neighbours of all items, as one Parquet file.

Needs Arrow, and Polars where the histories are those of a data set folder; no torch.
"""

from recsvc.bulk.command import Done, recommend_all, similar_all
from recsvc.bulk.sources import DatabaseHistories, DatasetHistories, HistorySource

__all__ = ["DatabaseHistories", "DatasetHistories", "Done", "HistorySource", "recommend_all", "similar_all"]
