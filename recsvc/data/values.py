"""The values in a table's columns: ids, numbers and times, checked all at once, reported row by row."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data.columns import Table
from recsvc.data.problems import MAX_PROBLEMS, Problems, shown
from recsvc.limits import MAX_ID_BYTES, text_flaw

LATEST = 1e11
"""Epoch seconds beyond this (the year 5138) are taken for milliseconds and refused."""

EARLIEST = -62135596800.0
"""Epoch seconds of the first instant of the year 1, the earliest that a calendar here knows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_ids(table: Table, column: str, problems: Problems) -> None:
    """Note every value of ``column`` that cannot be an id."""
    ids = table.frame[column]
    size = ids.str.len_bytes()
    bad = (size < 1) | (size > MAX_ID_BYTES) | ids.str.contains("\0", literal=True)
    _note(table, bad.to_numpy(), problems, lambda row: f"{column} {text_flaw(ids[row])}.")


def check_once(table: Table, columns: Sequence[str], problems: Problems, advice: str) -> None:
    """Note every row that says the same in ``columns`` as an earlier row; those with an empty value are left alone."""
    frame = table.frame.select(columns)
    first = frame.select(pl.struct(columns).is_first_distinct()).to_series()
    filled = frame.select(pl.all_horizontal(pl.col(columns) != "")).to_series()
    again = np.flatnonzero((~first & filled).to_numpy())
    reported = again[:MAX_PROBLEMS].tolist()
    firsts = [_first_like(frame, row) for row in reported]
    places = dict(zip(reported, (place for _, place in table.where(firsts)), strict=True))

    def message(row: int) -> str:
        what = " ".join(f"{column} {shown(frame[column][row])}" for column in columns)
        place = places[row] if places[row].startswith("row") else f"line {places[row]}"
        return f"{what} is there already, at {place}; {advice}."

    problems.add_rows(table.path, again, message, table.where)


def _first_like(frame: pl.DataFrame, row: int) -> int:
    same = [frame[column] == frame[column][row] for column in frame.columns]
    return int(np.argmax(np.logical_and.reduce([each.to_numpy() for each in same])))


def read_weights(
    table: Table,
    column: str,
    problems: Problems,
    *,
    zero: bool = True,
    owner: Callable[[int], str] = lambda _: "",
) -> npt.NDArray[np.float32]:
    """Return the numbers of ``column``, float32 [N]; note every one that is not finite and at least 0.

    Args:
        table: has the column.
        column: its name.
        problems: told what is wrong.
        zero: whether a weight may be 0.
        owner: says in a message what the weight of a row belongs to, from " of " on.
    """
    values = table.frame[column]
    numbers = _numbers(values)
    with np.errstate(over="ignore", under="ignore"):
        weights = numbers.astype(np.float32)
    bad = ~(np.isfinite(weights) & ((weights >= 0) if zero else (weights > 0)))
    _note(table, bad, problems, lambda row: f"{column}{owner(row)} {_weight_flaw(values[row], zero)}.")
    return weights


def read_times(table: Table, column: str, problems: Problems) -> npt.NDArray[np.float64]:
    """Return the times of ``column`` in epoch seconds, float64 [N].

    A value is a number of seconds since 1970-01-01 UTC, or else an ISO 8601 date or instant, which is UTC
    unless it says otherwise. What looks like a number is one: ``20240105`` is a day in August 1970. Noted as
    problems: anything else, what is empty or not finite, and numbers that can only be milliseconds.
    """
    values = table.frame[column]
    times = _numbers(values)
    # Only numbers can be out of range; what is NaN is no number, and may be an ISO date of any year.
    bad = (times < EARLIEST) | (times > LATEST)
    if values.dtype == pl.String:
        rows = np.flatnonzero(np.isnan(times))
        times[rows] = [_iso_seconds(text) for text in values.gather(rows)]
    _note(table, bad | np.isnan(times), problems, lambda row: f"{column} {_time_flaw(values[row])}.")
    return times


def _numbers(values: pl.Series) -> npt.NDArray[np.float64]:
    """Return the values as float64 [N], NaN where there is no number."""
    return values.cast(pl.Float64, strict=False).fill_null(math.nan).to_numpy(writable=True)


def _iso_seconds(text: str) -> float:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH).total_seconds()


def _time_flaw(value: str | float | None) -> str:
    if value is None or value == "":
        return "is empty; give every row a time, or leave the column out"
    try:
        number = float(value)
    except ValueError:
        return f"{shown(value)} is neither epoch seconds nor an ISO 8601 date"
    if not math.isfinite(number):
        return f"{shown(value)} is not finite"
    if number < EARLIEST:
        return f"{shown(value)} lies before the year 1"
    for limit, unit, divisor in ((1e17, "nano", "1,000,000,000"), (1e14, "micro", "1,000,000")):
        if number > limit:
            return f"{shown(value)} looks like {unit}seconds; divide by {divisor}"
    return f"{shown(value)} looks like milliseconds; divide by 1000"


def _weight_flaw(value: str | float | None, zero: bool) -> str:
    if value is None or value == "":
        return "is empty; give every row a weight, or leave the column out"
    if zero:
        return f"{shown(value)} is not a finite number of at least 0"
    return f"{shown(value)} is not a finite number above 0; mend it, or leave the row out"


def _note(table: Table, bad: npt.NDArray[np.bool_], problems: Problems, message: Callable[[int], str]) -> None:
    rows = np.flatnonzero(bad)
    problems.add_rows(table.path, rows, message, table.where)
