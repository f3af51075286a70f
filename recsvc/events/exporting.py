"""Events as a data set folder, which training reads: ``interactions.parquet``, written whole or not at all.

Beside the columns of a data set it has ``event_id`` and ``recommendation_id``, so that importing it again into this
database or another one changes nothing that is there. Memory stays flat however many events there are.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsvc.data.staging import whole_folder
from recsvc.errors import ConfigError
from recsvc.events.database import Database

FILE = "interactions.parquet"


def export_events(
    database: Database,
    folder: Path,
    *,
    since: datetime | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the events from ``since`` on, by default all, in order of arrival; returns how many there are.

    Args:
        database: where from.
        folder: the folder to make.
        since: the time of the oldest events to write, with a time zone.
        progress: told how many events have been written.

    Raises:
        ConfigError: ``folder`` is there already or cannot be made, or there is nothing to write.
        DatabaseError: the database has failed.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} exists already; give a new folder, or delete it first")
    weighted = database.events.has_weights(since)
    schema = _schema(weighted)
    done = 0
    try:
        with whole_folder(folder) as staging:
            with pq.ParquetWriter(staging / FILE, schema) as writer:
                for rows in database.events.rows(since):
                    writer.write_table(_table(rows, schema))
                    done += len(rows)
                    progress(done)
            if not done:
                raise ConfigError(f"{database.shown} has no events{' since then' if since else ''} to export")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return done


def _schema(weighted: bool) -> Any:
    fields = [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.float64()), ("event", pa.string())]
    fields += [("weight", pa.float64())] if weighted else []
    return pa.schema([*fields, ("event_id", pa.string()), ("recommendation_id", pa.string())])


def _table(rows: Any, schema: Any) -> Any:
    columns = {
        "user_id": [row.user_id for row in rows],
        "item_id": [row.item_id for row in rows],
        "timestamp": [row.time / 1000 for row in rows],
        "event": [row.kind for row in rows],
        "event_id": [row.event_id for row in rows],
        "recommendation_id": [row.recommendation_id for row in rows],
    }
    if "weight" in schema.names:
        # Where some events have a weight, one that has none counts once.
        columns["weight"] = [1.0 if row.weight is None else row.weight for row in rows]
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
