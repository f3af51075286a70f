from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsvc.data.columns import Columns, Table
from recsvc.data.problems import Problems
from recsvc.data.tables import read_table

COLUMNS = Columns(
    kinds={"id": "id", "event": "text", "time": "time", "weight": "number"}, required=("id",), others="attribute"
)


def read(path: Path) -> tuple[Table | None, list[str]]:
    problems = Problems()
    table = read_table(path, COLUMNS, problems)
    return table, [line.replace(f"{path}:", "") for line in problems.lines()]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["2024-01-05T10:00:00.25"], pl.Datetime("ms"), 1704448800.25),
        (["2024-01-05T10:00:00.000001"], pl.Datetime("ns"), 1704448800.000001),
        (["2024-01-05T10:00:00"], pl.Datetime("us", "UTC"), 1704448800.0),
        (["2024-01-05T10:00:00"], pl.Datetime("us", "Europe/Berlin"), 1704448800.0),
        (["2024-01-05"], pl.Date, 1704412800.0),
    ],
)
def test_dates_become_epoch_seconds(tmp_path: Path, values: list[str], dtype: pl.DataType, expected: float) -> None:
    zone = getattr(dtype, "time_zone", None)
    instants = pl.Series("time", values).str.to_datetime(time_unit="us")
    if zone:
        instants = instants.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    frame = pl.DataFrame([pl.Series("id", ["a"]), instants.cast(dtype)])
    frame.write_parquet(tmp_path / "t.parquet")
    table, problems = read(tmp_path / "t.parquet")
    assert problems == []
    assert table is not None
    assert table.frame["time"].to_list() == [expected]


def test_only_large_integers_are_written_out_digit_by_digit(tmp_path: Path) -> None:
    pl.DataFrame({"id": [2**63 - 1, -5]}).write_parquet(tmp_path / "t.parquet")
    table, _ = read(tmp_path / "t.parquet")
    assert table is not None
    assert table.frame["id"].to_list() == ["9223372036854775807", "-5"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"id": [1.0]}, " the column 'id' holds Float64; write text or integers."),
        ({"id": [b"x"]}, " the column 'id' holds Binary; write text or integers."),
        ({"id": ["x"], "weight": [True]}, " the column 'weight' holds Boolean; write numbers."),
        ({"id": ["x"], "time": [["x"]]}, " the column 'time' holds List(String); write epoch seconds, dates or"),
        ({"id": ["x"], "c": [{"a": 1}]}, " the column 'c' holds Struct({'a': Int64}); write text, numbers or lists"),
        ({"x": ["x"]}, " there is no column 'id'; the columns are 'x'."),
        ({"id": []}, " there is a header but not one row below it."),
    ],
)
def test_types_that_are_of_no_use_are_named(tmp_path: Path, column: dict[str, object], expected: str) -> None:
    pl.DataFrame(column).write_parquet(tmp_path / "t.parquet")
    _, problems = read(tmp_path / "t.parquet")
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_a_column_twice(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["id", "id"])
    pq.write_table(twice, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[1] == [" the column 'id' is there twice; keep one."]


def test_text_that_is_not_utf8_is_named_by_row(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    pq.write_table(pa.table({"id": bad}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[1] == ["row 2: 'id' is not UTF-8; write it as UTF-8."]


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped"])
def test_a_damaged_file_is_one_problem(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": [str(n * 7919) for n in range(5000)]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[40:80] = bytes(40)
    path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"id\n1\n", "flipped": data}[damage])
    _, problems = read(path)
    assert len(problems) == 1
    assert problems[0].startswith((" the file is empty.", " this is not an undamaged Parquet file ("))
