"""Data that several packages' tests use."""

import csv
import os
import random
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data sets, or a skip with the reason."""
    folder = Path(os.environ.get("RECSVC_TEST_DATA", _BESIDE))

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real data at {folder / name}; set RECSVC_TEST_DATA to the folder that holds {name}")
        return folder / name

    return find


def write_cycle(folder: Path, *, users: int = 150, items: int = 30, seed: int = 0) -> Path:
    """A data set whose next item is certain: item i is always followed by item i + 1, around a ring."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for user in range(users):
            start = rng.randrange(items)
            for step in range(rng.randint(4, 14)):
                writer.writerow([f"user {user}", f"item/{(start + step) % items}", 1_000_000 + 60 * step])
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "kind"])
        for item in range(items + 2):  # two that nobody has touched
            writer.writerow([f"item/{item}", f"Number {item}", "even" if item % 2 == 0 else "odd|prime"])
    return folder


@pytest.fixture(scope="session")
def cycle_dataset(tmp_path_factory):
    """A small ring data set."""
    return write_cycle(tmp_path_factory.mktemp("cycle") / "dataset")


SMALL = {
    "split.validation_users": 60,
    "sequence.model.dim": 32,
    "sequence.model.max_length": 12,
    "sequence.model.dropout": 0.0,
    "sequence.loop.epochs": 100,
    "sequence.loop.evaluate_every": 10,
    "sequence.loop.warmup_steps": 20,
    "sequence.loop.learning_rate": 0.003,
    "sequence.rows.tokens_per_batch": 256,
}


@pytest.fixture(scope="session")
def small_settings():
    """Settings under which the ring is learnt in seconds."""
    return dict(SMALL)
