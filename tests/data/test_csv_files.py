"""The two passes over a CSV file read the same, and the slow one names every line."""

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data import csv_files
from recsvc.data.columns import Columns, Table
from recsvc.data.problems import Problems
from recsvc.data.tables import read_table

AB = Columns(kinds={"a": "id", "b": "text"}, required=("a", "b"))
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, columns: Columns = AB) -> tuple[Table | None, list[str]]:
    problems = Problems()
    table = read_table(path, columns, problems)
    return table, [line.replace(f"{path}:", "") for line in problems.lines()]


def read_bytes(folder: Path, data: bytes) -> tuple[Table | None, list[str]]:
    path = folder / "t.csv"
    path.write_bytes(data)
    return read(path)


@FEW
@given(body=st.text(st.sampled_from(list('xé,,"\n\n\r 1\0')), max_size=30))
def test_what_the_fast_pass_accepts_the_slow_pass_reads_the_same(tmp_path: Path, body: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("a,b\n" + body).encode())
    fast = csv_files._read_fast(path, ["a", "b"], AB)
    problems = Problems()
    slow = csv_files._read_slowly(path, ["a", "b"], AB, problems)
    if fast is not None:
        assert problems.lines() == []
        assert fast.equals(slow.frame)
        rows = range(fast.height)
        assert csv_files._find_lines(path, rows) == slow.where(rows)


@FEW
@given(body=st.text(st.sampled_from(list('x,,"\n\r\0')), max_size=30))
def test_the_slow_pass_is_taken_only_for_a_reason(tmp_path: Path, body: str) -> None:
    """Otherwise the test above could pass with a fast pass that never accepts anything."""
    path = tmp_path / "t.csv"
    path.write_bytes(("a,b\n" + body).encode())
    problems = Problems()
    csv_files._read_slowly(path, ["a", "b"], AB, problems)
    assert (csv_files._read_fast(path, ["a", "b"], AB) is None) == bool(len(problems))


@FEW
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)] * 2),
        min_size=1,
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from([".csv", ".csv.gz"]),
    bom=st.booleans(),
)
def test_what_the_standard_library_writes_is_read_back(
    tmp_path: Path, rows: list[tuple[str, str]], ending: str, suffix: str, bom: bool
) -> None:
    text = io.StringIO(newline="")
    # Older writers leave a bare carriage return unquoted where it is not their line end.
    quoting = csv.QUOTE_ALL if ending == "\n" else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator=ending, quoting=quoting).writerows([("a", "b"), *rows])
    data = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(data) if suffix == ".csv.gz" else data)
    table, problems = read(path)
    assert problems == []
    assert table is not None
    assert table.frame.rows() == rows


def test_blank_lines_byte_order_mark_and_carriage_returns_are_no_matter(tmp_path: Path) -> None:
    table, problems = read_bytes(tmp_path, b"\xef\xbb\xbf\r\na,b\r\n\r\n1,2\r\n\r\n\r\n3,4")
    assert problems == []
    assert table is not None
    assert table.frame.rows() == [("1", "2"), ("3", "4")]
    assert table.where([1, 0]) == [(7, "7"), (4, "4")]


def test_a_record_stands_where_it_begins(tmp_path: Path) -> None:
    table, _ = read_bytes(tmp_path, b'a,b\n1,"x\ny\nz"\n2,y\n')
    assert table is not None
    assert table.where([0, 1]) == [(2, "2"), (5, "5")]


def test_columns_that_nobody_asked_for_are_checked_and_left_out(tmp_path: Path) -> None:
    table, problems = read_bytes(tmp_path, b"c,b,a\n1,2,3\n")
    assert table is not None
    assert table.frame.to_dict(as_series=False) == {"b": ["2"], "a": ["3"]}
    _, problems = read_bytes(tmp_path, b"c,b,a\nok,2,3\n\xff,2,3\n")
    assert problems == ["3: the byte 0xff is not UTF-8; save the file as UTF-8."]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", [" the file is empty."]),
        (b"\n\n", [" the file is empty."]),
        (b"a,b\n", [" there is a header but not one row below it."]),
        (b"a,b\n1,2\n3\n4,5\n6,7,8\n", ["3: 1 value where", "5: 3 values where the header names 2."]),
        (b"a,b\n1,2\n3,\xe9\n", ["3: the byte 0xe9 is not UTF-8; save the file as UTF-8."]),
        (b"a,b\0\n1,2\n", ["1: there is a NUL byte in this line."]),
        (b'a,b\n1,2\n3,"4\n5,6\n', ['3: a quote (") is opened and never closed.']),
        (b"a,\xe9\n1,2\n", ["1: the byte 0xe9 is not UTF-8"]),
        ("a,b\n1,2\n".encode("utf-16"), ["1: this is UTF-16; save the file as UTF-8."]),
        (b"a,b,a\n1,2,3\n", ["1: the column 'a' is there twice; keep one."]),
        (b"a,,b\n1,2,3\n", ["1: column 2 has no name; name it or remove it."]),
        (
            b"A_,c\n1,2\n",
            ["1: there is no column 'a'; the nearest is 'A_'.", "1: there is no column 'b'; the columns"],
        ),
        (b"a;b\n1;2\n", ["1: there is no column 'a'", "1: there is no column 'b'"]),
    ],
)
def test_every_problem_is_named_with_its_line(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    _, problems = read_bytes(tmp_path, data)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


def test_nul_bytes_stay_in_ids_and_are_replaced_in_texts(tmp_path: Path) -> None:
    """Ids are looked at by whoever wants them; a database would cut off a text at the first of them."""
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\n1\0,x\0\0y\n2,"\0"\n3,z\n')
    problems = Problems()
    table = read_table(path, AB, problems)
    assert table is not None
    assert table.frame.rows() == [("1\0", "x\ufffd\ufffdy"), ("2", "\ufffd"), ("3", "z")]
    assert problems.lines() == []
    assert problems.notes == ["t.csv: 2 values of 'b' had NUL bytes, for which U+FFFD was put."]


def test_the_nearest_column_is_not_one_that_means_something_else(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("userId,movieId\n1,2\n")
    columns = Columns(kinds={"user_id": "id", "item_id": "id"}, required=("user_id", "item_id"))
    _, problems = read(path, columns)
    assert [line.split(";")[1] for line in problems] == [
        " the nearest is 'userId'.",
        " the nearest is 'movieId'.",
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip", "trailing"])
def test_damaged_gzip_is_one_problem(tmp_path: Path, damage: str) -> None:
    rows = "".join(f"{n * 7919 % 10007},{n * 104729 % 10009}\n" for n in range(20_000))
    data = bytearray(gzip.compress(("a,b\n" + rows).encode()))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[-6] ^= 1  # in the checksum at the end: all rows are there and one is not as it was written
    elif damage == "not gzip":
        data = bytearray(b"a,b\n1,2\n")
    else:
        data += b"rubbish"
    path = tmp_path / "t.csv.gz"
    path.write_bytes(data)
    _, problems = read(path)
    assert len(problems) == 1
    assert "the gzip data is damaged" in problems[0]


def test_a_value_longer_than_any_buffer_is_read(tmp_path: Path) -> None:
    long = "x" * (csv_files._BLOCK_BYTES + 10)
    table, problems = read_bytes(tmp_path, f"a,b\n1,{long}\n2,y\n".encode())
    assert problems == []
    assert table is not None
    assert table.frame["b"].str.len_bytes().to_list() == [len(long), 1]


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv")[1] == [" the file does not exist."]
    (tmp_path / "t.csv").mkdir()
    assert read(tmp_path / "t.csv")[1] == [" the file cannot be read (Is a directory)."]


def test_slow_pass_alone_is_the_table_when_arrow_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "_read_fast", lambda *_: None)
    table, problems = read_bytes(tmp_path, b"a,b\n1,2\n")
    assert problems == []
    assert table is not None
    assert table.frame.equals(pl.DataFrame({"a": ["1"], "b": ["2"]}))
