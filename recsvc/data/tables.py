"""One table of a data set folder, CSV or Parquet, as columns of strings that know their lines.

A table is read in one vectorised pass. Whatever that pass trips over is looked at again by a slow one that
finds every problem and its line (`recsvc.data.csv_files`, `recsvc.data.parquet_files`).
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from recsvc.data.columns import Columns, Table
from recsvc.data.csv_files import read_csv
from recsvc.data.parquet_files import read_parquet
from recsvc.data.problems import Problems, shown

SUFFIXES = (".csv", ".csv.gz", ".parquet")
"""The forms a table may have."""


def read_table(path: Path, columns: Columns, problems: Problems) -> Table | None:
    """Read the table in the file ``path``.

    Rows that cannot be read are noted in ``problems`` and left out, so that the values of the others can
    still be looked at; the caller raises afterwards.

    Returns:
        The table, or None if there is nothing to look at (unreadable, empty, a required column missing).
    """
    read = read_parquet if path.suffix == ".parquet" else read_csv
    before = len(problems)
    try:
        table = read(path, columns, problems)
    except FileNotFoundError:
        problems.add(path, "the file does not exist.")
        return None
    except OSError as error:
        problems.add(path, f"the file cannot be read ({error.strerror or error}).")
        return None
    if table is not None and not table.frame.height and len(problems) == before:
        problems.add(path, "there is a header but not one row below it.")
        return None
    return table if table is None else _without_nul(table, columns, problems)


def _without_nul(table: Table, columns: Columns, problems: Problems) -> Table:
    """Put U+FFFD for the NUL bytes in texts, which databases cut off there; those in ids are problems later on."""
    kinds = columns.wanted(table.frame.columns)
    texts = [name for name, dtype in table.frame.schema.items() if dtype == pl.String and kinds[name] in _TEXTS]
    replaced = []
    for name in texts:
        count = int(table.frame[name].str.contains("\0", literal=True).sum())
        if count:
            values = f"{count:,} value{'s' if count > 1 else ''}"
            message = f"{values} of {shown(name)} had NUL bytes, for which U+FFFD was put."
            problems.notes.append(f"{table.path.name}: {message}")
            replaced.append(pl.col(name).str.replace_all("\0", "\ufffd", literal=True))
    return replace(table, frame=table.frame.with_columns(replaced)) if replaced else table


_TEXTS = ("text", "attribute")
