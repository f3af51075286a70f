from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data.columns import Columns, Table
from recsvc.data.problems import Problems
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, read_times, read_weights

X = Columns(kinds={"x": "time", "n": "text"}, required=("x",))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def table(tmp_path: Path, write_csv: Callable[..., Path]) -> Callable[..., Table]:
    def make(*values: object) -> Table:
        path = write_csv(tmp_path / "t.csv", ["x", "n"], [(value, "") for value in values])
        table = read_table(path, X, Problems())
        assert table is not None
        return table

    return make


def problems_of(check: Callable[..., object], table: Table) -> list[str]:
    problems = Problems()
    check(table, "x", problems)
    return [line.replace(f"{table.path}:", "") for line in problems.lines()]


def test_seconds_and_iso_dates_may_stand_side_by_side(table: Callable[..., Table]) -> None:
    values = {
        "978300760": 978300760.0,
        "1396314141.719": 1396314141.719,
        "-3e2": -300.0,
        "1970-01-02": 86400.0,
        "1970-01-01T00:00:01": 1.0,
        "1970-01-01 00:00:01.5": 1.5,
        "1970-01-01T00:00:01Z": 1.0,
        "1970-01-01T02:00:01+02:00": 1.0,
        "19700101T000001": 1.0,
        "1969-12-31T23:59:59": -1.0,
        "9999-12-31": 253402214400.0,
    }
    assert read_times(table(*values), "x", Problems()).tolist() == list(values.values())
    assert problems_of(read_times, table(*values)) == []


@FEW
@given(instants=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1))
def test_iso_dates_of_any_year_are_exact(table: Callable[..., Table], instants: list[datetime]) -> None:
    times = read_times(table(*[instant.isoformat() for instant in instants]), "x", Problems())
    assert times.dtype == np.float64
    assert times.tolist() == [instant.timestamp() for instant in instants]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "x is empty; give every row a time, or leave the column out."),
        ("yesterday", "x 'yesterday' is neither epoch seconds nor an ISO 8601 date."),
        ("2024-13-01", "x '2024-13-01' is neither epoch seconds nor an ISO 8601 date."),
        ("nan", "x 'nan' is not finite."),
        ("-inf", "x '-inf' is not finite."),
        ("1396314141719", "x '1396314141719' looks like milliseconds; divide by 1000."),
        ("1396314141719000", "x '1396314141719000' looks like microseconds; divide by 1,000,000."),
        ("1396314141719000000", "x '1396314141719000000' looks like nanoseconds; divide by 1,000,000,000."),
        ("-1e11", "x '-1e11' lies before the year 1."),
    ],
)
def test_what_is_no_time_is_named_with_its_line(table: Callable[..., Table], value: str, message: str) -> None:
    assert problems_of(read_times, table("1", value, "2")) == [f"3: {message}"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 1e12])
def test_times_from_parquet_are_checked_too(tmp_path: Path, value: float | None) -> None:
    pl.DataFrame({"x": [1.0, value]}).write_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", X, Problems())
    assert table is not None
    assert len(problems_of(read_times, table)) == 1
    assert problems_of(read_times, table)[0].startswith("row 2: x ")


def test_weights_are_finite_and_not_negative(table: Callable[..., Table]) -> None:
    weights = read_weights(table("0", "1.5", "1e-3"), "x", Problems())
    assert weights.dtype == np.float32
    assert weights.tolist() == [0, 1.5, np.float32(0.001)]
    assert problems_of(read_weights, table("1", "", "-1", "nan", "1e39", "much")) == [
        "3: x is empty; give every row a weight, or leave the column out.",
        "4: x '-1' is not a finite number of at least 0.",
        "5: x 'nan' is not a finite number of at least 0.",
        "6: x '1e39' is not a finite number of at least 0.",
        "7: x 'much' is not a finite number of at least 0.",
    ]


def test_weights_above_zero_say_whose_they_are(table: Callable[..., Table]) -> None:
    def above_zero(table: Table, column: str, problems: Problems) -> object:
        return read_weights(table, column, problems, zero=False, owner=lambda row: f" of row {row}")

    assert problems_of(above_zero, table("0", "1", "1e-50")) == [
        "2: x of row 0 '0' is not a finite number above 0; mend it, or leave the row out.",
        "4: x of row 2 '1e-50' is not a finite number above 0; mend it, or leave the row out.",
    ]


def test_ids_are_neither_empty_nor_endless(table: Callable[..., Table]) -> None:
    assert problems_of(check_ids, table(" ", "é" * 256, "", "é" * 257)) == [
        "4: x is empty.",
        "5: x has 514 bytes; at most 512 are allowed.",
    ]
