from pathlib import Path

import numpy as np
import pytest

from recsvc.data.problems import MAX_PROBLEMS, Problems, shown
from recsvc.errors import DatasetError


def lines_of(rows: list[int]) -> list[tuple[int, str]]:
    return [(row + 2, str(row + 2)) for row in rows]


def test_nothing_is_raised_for_nothing() -> None:
    Problems().raise_if_any()


def test_problems_come_by_file_then_by_line() -> None:
    problems = Problems()
    problems.add(Path("b.csv"), "late", line=9)
    problems.add(Path("a.csv"), "other file", line=1)
    problems.add(Path("b.csv"), "early", line=3)
    problems.add(Path("b.csv"), "whole file")
    problems.add(Path("b.csv"), "a second thing", line=3)
    assert problems.lines() == [
        "b.csv: whole file",
        "b.csv:3: early",
        "b.csv:3: a second thing",
        "b.csv:9: late",
        "a.csv:1: other file",
    ]


def test_a_million_bad_rows_are_counted_and_twenty_named() -> None:
    problems = Problems()
    asked: list[list[int]] = []

    def where(rows: list[int]) -> list[tuple[int, str]]:
        asked.append(list(rows))
        return lines_of(list(rows))

    problems.add_rows(Path("a.csv"), np.arange(5, 1_000_000), lambda row: f"row {row}", where)
    problems.add(Path("a.csv"), "a late find", line=3)
    assert asked == [list(range(5, 25))]
    assert len(problems) == 1_000_000 - 5 + 1
    lines = problems.lines()
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[:2] == ["a.csv:3: a late find", "a.csv:7: row 5"]
    assert lines[-1] == "... and 999,976 more problems like these."
    with pytest.raises(DatasetError) as caught:
        problems.raise_if_any()
    assert str(caught.value) == "\n".join(lines)


def test_one_more_than_is_shown_is_singular() -> None:
    problems = Problems()
    for line in range(1, MAX_PROBLEMS + 2):
        problems.add(Path("a.csv"), "bad", line=line)
    assert problems.lines()[-1] == "... and 1 more problem like these."


def test_values_in_messages_stay_on_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown("Amélie") == "'Amélie'"
    assert shown("x" * 99) == repr("x" * 40 + "...")
    assert shown(1396314141719.0) == "1396314141719"
