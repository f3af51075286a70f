"""A Parquet file that grows in parts beside its place and appears whole: killed and run again, it goes on.

::

    OUT.parts/facts.json          what is answered by which release; other facts begin anew
    OUT.parts/part-000000.parquet the rows of some users or items, written whole; how far they reach stands in it
    OUT                           all parts one behind the other, each a row group; the parts are then deleted

Memory holds one part. An ``OUT`` that is there already stays until the new one takes its place.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from recsvc.data.staging import sync
from recsvc.errors import RequestError
from recsvc.releases import folder_lock

FACTS_KEY: Final = b"recsvc"
"""Where the facts stand in the metadata of the file, as JSON."""
_REACH_KEY: Final = b"recsvc.reach"
_FACTS_NAME: Final = "facts.json"


class Reach(NamedTuple):
    """How far the parts reach: the last user (None among items), and how many have been answered in all."""

    last: str | None
    done: int


class Parts:
    """The parts of one file; whoever has them open is alone with them."""

    def __init__(self, out: Path, folder: Path, schema: Any) -> None:
        self._out = out
        self._folder = folder
        self._schema = schema
        self._paths = sorted(folder.glob("part-*.parquet"))

    @property
    def reach(self) -> Reach | None:
        """How far earlier calls have come; None where they have not."""
        if not self._paths:
            return None
        return Reach(*json.loads(pq.read_schema(self._paths[-1]).metadata[_REACH_KEY]))

    def add(self, table: Any, reach: Reach) -> None:
        """Write the next part."""
        path = self._folder / f"part-{len(self._paths):06}.parquet"
        named = table.replace_schema_metadata({**self._schema.metadata, _REACH_KEY: json.dumps(reach)})
        staging = self._folder / f".{path.name}.writing"
        pq.write_table(named, staging, compression="zstd")
        sync(staging)
        staging.replace(path)
        self._paths.append(path)

    def finish(self) -> None:
        """Bring the parts together in the file."""
        staging = self._out.with_name(f".{self._out.name}.writing")
        with pq.ParquetWriter(staging, self._schema, compression="zstd") as writer:
            for path in self._paths:
                if (table := pq.read_table(path)).num_rows:
                    writer.write_table(table.replace_schema_metadata(self._schema.metadata))
        sync(staging)
        staging.replace(self._out)
        sync(self._out.parent)
        shutil.rmtree(self._folder)


@contextmanager
def open_parts(out: Path, schema: Any, facts: dict[str, Any]) -> Iterator[tuple[Parts, str | None]]:
    """Open the parts of a file, those that an earlier call has left if their facts are the same.

    Args:
        out: The file to be made.
        schema: Of Arrow; the facts are put into its metadata.
        facts: What decides the rows; plain JSON.

    Yields:
        The parts, and the name of a fact that made earlier ones useless, None where none did.

    Raises:
        RequestError: If the file cannot be written, or another process is writing it.
    """
    folder = out.with_name(f"{out.name}.parts")
    if out.is_dir():
        raise RequestError(f"--out {out}: is a folder; name a file in it.")
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    try:
        folder.mkdir(exist_ok=True)
        with folder_lock(folder.absolute()) as alone:
            if not alone:
                raise RequestError(f"--out {out}: another process is writing it; wait for it, or name another file.")
            other = _begin(folder, text)
            yield Parts(out, folder, schema.with_metadata({FACTS_KEY: text})), other
    except OSError as error:
        raise RequestError(f"--out {out}: cannot be written ({error.strerror or error}).") from None


def _begin(folder: Path, text: str) -> str | None:
    """Delete parts of other facts, note these, and name the first that differs."""
    path = folder / _FACTS_NAME
    other = None
    if path.exists():
        before = path.read_text("utf-8")
        if before == text:
            return None
        old, new = json.loads(before), json.loads(text)
        other = next(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
    path.unlink(missing_ok=True)  # first: killed in the middle, what is left of the others belongs to nothing
    for entry in folder.iterdir():
        entry.unlink()
    staging = folder / f".{_FACTS_NAME}.writing"
    staging.write_text(text, "utf-8")
    sync(staging)
    staging.replace(path)
    return other
