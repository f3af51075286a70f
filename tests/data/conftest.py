"""Data set folders for tests, made on the spot."""

import csv
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Rows = Sequence[Sequence[object]]


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
