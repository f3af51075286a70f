"""The floor under the image space on real pictures: in a minute it beats the untrained network and plain pixels."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training import pipeline
from training.config import load_config

SETTINGS = ("image.loop.epochs=3", "image.batch_size=64", "runtime.threads=1", "runtime.keep_memory=False")


@pytest.mark.real_data
def test_cifar10(tmp_path, real_data):
    """Untrained 0.32, pixels 0.36, trained 0.43 of 1,000 test pictures were right when this was written."""
    table = pq.read_table(real_data("cifar10") / "images.parquet")
    splits = np.array(table["split"].to_pylist())
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(splits == split))[:n] for split, n in (("train", 2000), ("test", 1000))]
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    pq.write_table(pa.table(table.take(np.concatenate(rows))), dataset / "images.parquet")
    run = pipeline.train(dataset, tmp_path / "run", config=load_config(overrides=SETTINGS))
    found = pipeline.evaluate(run)["image"]
    model, untrained, pixels = (
        values["knn@20"] for values in (found["model"], found["baselines"]["untrained"], found["baselines"]["pixels"])
    )
    assert model > untrained + 0.06 and model > pixels
    assert found["model"]["map"] > found["baselines"]["untrained"]["map"] + 0.02
