"""One table of a data set folder, CSV or Parquet, as columns of strings that know their lines.

A table is read in one vectorised pass. Whatever that pass trips over is looked at again by a slow one that
finds every problem and its line (`recsvc.data.csv_files`, `recsvc.data.parquet_files`).
"""

from pathlib import Path

from recsvc.data.columns import Columns, Table
from recsvc.data.csv_files import read_csv
from recsvc.data.parquet_files import read_parquet
from recsvc.data.problems import Problems

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
    return table
