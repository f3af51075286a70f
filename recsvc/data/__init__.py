"""Data set folders: read, checked, indexed and split.

A folder with an ``interactions.csv`` becomes one flat log of item rows that batches are cut from:

>>> from recsvc.data import SplitConfig, make_split, read_dataset
>>> dataset = read_dataset("ml-1m")  # doctest: +SKIP
>>> split = make_split(dataset.log, SplitConfig())  # doctest: +SKIP
>>> print(split.protocol)  # doctest: +SKIP

Whatever is wrong with a folder is one `recsvc.errors.DatasetError` that names files and lines.
"""

from recsvc.data.folder import Dataset, find_tables, read_dataset
from recsvc.data.history import HistoryConfig
from recsvc.data.ids import IdIndex
from recsvc.data.interactions import InteractionLog
from recsvc.data.items import Item, ItemTable
from recsvc.data.problems import Problems
from recsvc.data.splits import Split, SplitConfig, leave_one_out, make_split, temporal, temporal_cuts
from recsvc.data.summary import describe

__all__ = [
    "Dataset",
    "HistoryConfig",
    "IdIndex",
    "InteractionLog",
    "Item",
    "ItemTable",
    "Problems",
    "Split",
    "SplitConfig",
    "describe",
    "find_tables",
    "leave_one_out",
    "make_split",
    "read_dataset",
    "temporal",
    "temporal_cuts",
]
