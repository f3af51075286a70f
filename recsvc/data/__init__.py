"""Data set folders: interactions, items, pictures and typed edges; read, checked, indexed and split.

A folder with an ``interactions.csv`` becomes one flat log of item rows that batches are cut from:

>>> from recsvc.data import SplitConfig, make_split, read_dataset
>>> dataset = read_dataset("ml-1m")  # doctest: +SKIP
>>> split = make_split(dataset.log, SplitConfig())  # doctest: +SKIP
>>> print(split.protocol)  # doctest: +SKIP

Its edges are a graph in the making (`recsvc.data.graph`), its pictures are read one by one:

>>> dataset.graph.num_edges, len(dataset.images)  # doctest: +SKIP
(25996, 3256)

Whatever is wrong with a folder is one `recsvc.errors.DatasetError` that names files and lines.
"""

from recsvc.data.folder import Dataset, find_tables, read_dataset
from recsvc.data.history import HistoryConfig
from recsvc.data.ids import IdIndex
from recsvc.data.images import ImageTable, read_images, verify_pictures
from recsvc.data.interactions import InteractionLog
from recsvc.data.items import Item, ItemTable
from recsvc.data.problems import Problems
from recsvc.data.splits import Split, SplitConfig, leave_one_out, make_split, temporal, temporal_cuts
from recsvc.data.summary import describe
from recsvc.data.vectors import VectorTable

__all__ = [
    "Dataset",
    "HistoryConfig",
    "IdIndex",
    "ImageTable",
    "InteractionLog",
    "Item",
    "ItemTable",
    "Problems",
    "Split",
    "SplitConfig",
    "VectorTable",
    "describe",
    "find_tables",
    "leave_one_out",
    "make_split",
    "read_dataset",
    "read_images",
    "temporal",
    "temporal_cuts",
    "verify_pictures",
]
