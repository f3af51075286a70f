"""Data set folders for tests: made on the spot, or the real ones beside the checkout."""

import csv
import gzip
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Rows = Sequence[Sequence[object]]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Find a real data set by name, or skip the test."""

    def find(name: str) -> Path:
        beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
        folder = Path(os.environ.get("RECSVC_TEST_DATA", beside)) / name
        if not folder.is_dir():
            pytest.skip(f"the real data set {name} is not beside the checkout")
        return folder

    return find


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """Write rows the way that every other program does, through the standard library's writer."""

    def write(path: Path, header: Sequence[str], rows: Rows) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write
