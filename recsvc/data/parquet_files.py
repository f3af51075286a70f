"""Parquet tables: ids may be integers or text, times may be numbers or dates, attributes may be lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsvc.data.columns import Columns, Kind, Table, check_header
from recsvc.data.problems import Problems, shown


def read_parquet(path: Path, columns: Columns, problems: Problems) -> Table | None:
    """Read the Parquet file ``path``; see `recsvc.data.tables.read_table`."""
    if path.stat().st_size == 0:
        problems.add(path, "the file is empty.")
        return None
    try:
        header = list(pq.read_schema(path).names)
        if not check_header(path, header, columns, problems, line=0):
            return None
        wanted = columns.wanted(header)
        # One column after the other: what Arrow holds besides is one column, not the table.
        converted = [_read_column(path, name, kind, problems) for name, kind in wanted.items()]
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        problems.add(path, f"this is not an undamaged Parquet file ({reason}); write it again.")
        return None
    if any(column is None for column in converted):
        return None
    return Table(path, pl.DataFrame([column for column in converted if column is not None]), _name_rows)


def _read_column(path: Path, name: str, kind: Kind, problems: Problems) -> pl.Series | None:
    file = pq.ParquetFile(path, read_dictionary=[name] if kind == "name" else None)
    table = file.read(columns=[name])
    if not _is_valid(path, table, problems):
        return None
    frame = cast(pl.DataFrame, pl.from_arrow(table.unify_dictionaries()))
    return _convert(path, frame[name], kind, problems)


def _name_rows(rows: Sequence[int]) -> list[tuple[int, str]]:
    return [(row + 1, f"row {row + 1}") for row in rows]


def _is_valid(path: Path, table: Any, problems: Problems) -> bool:
    """Look for text that is not UTF-8, which Arrow reads without looking and Polars relies on."""
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        before = len(problems)
        for name in table.column_names:
            _note_invalid(path, name, table[name], problems)
        if len(problems) == before:
            problems.add(path, f"the file is damaged ({str(error).splitlines()[0]}); write it again.")
        return False
    return True


def _note_invalid(path: Path, name: str, column: Any, problems: Problems) -> None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return
    for row, value in enumerate(column.cast(pa.large_binary())):
        try:
            (value.as_py() or b"").decode("utf-8")
        except UnicodeDecodeError:
            message = f"{shown(name)} is not UTF-8; write it as UTF-8."
            problems.add(path, message, line=row + 1, place=f"row {row + 1}")


def _convert(path: Path, column: pl.Series, kind: Kind, problems: Problems) -> pl.Series | None:
    """Bring one column into the form that `Table` describes, or note that its type is of no use."""
    dtype = column.dtype
    is_number = dtype.is_integer() or dtype.is_float()
    if kind == "time" and dtype in (pl.Date, pl.Datetime):
        return column.dt.epoch("us").cast(pl.Float64) / 1e6
    if kind in ("time", "number") and is_number:
        return column.cast(pl.Float64)
    if _is_text(dtype) or dtype.is_integer() or dtype == pl.Null:
        return _as_names(column) if kind == "name" else column.cast(pl.String).fill_null("")
    if kind in ("text", "attribute") and (is_number or dtype.is_temporal() or dtype == pl.Boolean):
        return column.cast(pl.String).fill_null("")
    if kind == "attribute" and isinstance(dtype, pl.List):
        inner = cast(pl.DataType, dtype.inner)
        if _is_text(inner) or inner.is_integer():
            return column.cast(pl.List(pl.String))
    problems.add(path, f"the column {shown(column.name)} holds {dtype}; write {_ALLOWED[kind]}.")
    return None


def _as_names(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Categorical and not column.null_count():
        return column
    return column.cast(pl.String).fill_null("").cast(pl.Categorical)


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


_ALLOWED: dict[Kind, str] = {
    "id": "text or integers",
    "name": "text or integers",
    "text": "text",
    "number": "numbers",
    "time": "epoch seconds, dates or ISO 8601 text",
    "attribute": "text, numbers or lists of text",
}
