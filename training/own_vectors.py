"""A space of the user's own vectors in the pipeline: nothing to train, exported and served like the others."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data import Dataset, IdIndex
from recsvc.data.staging import whole_folder
from recsvc.releases import SpaceEntry
from training.config import Config
from training.export import write_cosine_index, write_table
from training.progress import Reporter
from training.run import Run

Float32 = NDArray[np.float32]

_VECTORS = "vectors.npy"
# Rows that are brought to length 1 at a time, in float64.
_BLOCK = 2**16


class OwnVectors:
    """What lies near in vectors that come with the data set, in ``vectors/<name>.parquet``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has vectors of this name."""
        return self.name in dataset.vectors

    def check(self, dataset: Dataset, config: Config) -> None:
        """Nothing: a table of vectors that could be read can be served."""

    def prepare(self, folder: Path, dataset: Dataset, config: Config, reporter: Reporter) -> None:
        """Copy the vectors and their ids, so that the run needs the data set no more."""
        table = dataset.vectors[self.name]
        with whole_folder(folder) as staging:
            np.save(staging / _VECTORS, table.vectors, allow_pickle=False)
            table.ids.save(staging, "ids")

    def train(self, run: Run, *, resume: bool, reporter: Reporter) -> str:
        """Nothing; says what there is."""
        count, width = self.vectors(run).shape
        return f"{count:,} vectors of {width:,} numbers as they are"

    def trained(self, run: Run) -> bool:
        """Whether the run has the vectors."""
        return is_own(run.data(self.name))

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """The share of the items that have a vector: there is nothing that the vectors were to learn."""
        catalogue = run.catalogue()
        items = catalogue.num_items
        catalogue.close()
        vectors = self.vectors(run)
        count, width = vectors.shape
        return {
            "protocol": {
                "vectors": f"{count:,} given vectors of {width:,} numbers, cosine; not trained here and not judged",
                "items_with_vector": f"share of the catalogue's {items:,} items",
                "data_sha256": run.fingerprint,
            },
            "model": {"items_with_vector": count / items},
            "baselines": {},
        }

    def export(self, run: Run, folder: Path) -> SpaceEntry:
        """Write the table of vectors, as they were given, and their index."""
        vectors = self.vectors(run)
        catalogue = run.catalogue()
        rows = catalogue.rows(self.ids(run))
        catalogue.close()
        assert None not in rows, "every vector is of a thing of the catalogue"
        write_table(vectors, np.array(rows, np.int32), folder / "items.safetensors")
        write_cosine_index(_directions(vectors), folder / "similar.faiss")
        return SpaceEntry(
            dim=vectors.shape[1],
            count=len(vectors),
            table=f"{folder.name}/items.safetensors",
            index=f"{folder.name}/similar.faiss",
        )

    def warmup(self, run: Run) -> dict[str, Any]:
        """Nothing: a release without an encoder has nothing to warm up."""
        return {}

    def vectors(self, run: Run) -> Float32:
        """The vectors of a run, float32 [V, d], memory-mapped."""
        vectors: Float32 = np.load(run.data(self.name) / _VECTORS, mmap_mode="r", allow_pickle=False)
        return vectors

    def ids(self, run: Run) -> IdIndex:
        """Item ids of the vectors."""
        return IdIndex.load(run.data(self.name), "ids")


def is_own(data: Path) -> bool:
    """Whether a folder of a run's data is of vectors that the user brought."""
    return (data / _VECTORS).is_file()


def _directions(vectors: Float32) -> Float32:
    """Unit vectors [V, d]: scaled in float64, in which no square of a float32 overflows or vanishes."""
    unit = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        unit[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return unit
