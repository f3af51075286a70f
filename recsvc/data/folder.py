"""The data set folder that a user brings: which tables it has, read, checked and fingerprinted.

Every table is optional. Of ``videos`` it is only noted that they are there; all else that is found is read.
"""

import difflib
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from recsvc.data.graph import GraphTables, read_graph
from recsvc.data.history import Events, HistoryConfig, build_log, read_events
from recsvc.data.images import ImageTable, read_images, verify_pictures
from recsvc.data.interactions import InteractionLog
from recsvc.data.items import ItemTable, read_items
from recsvc.data.problems import Problems, shown
from recsvc.data.tables import SUFFIXES
from recsvc.data.vectors import VectorTable, read_vectors

FORMS: dict[str, tuple[str, ...]] = {
    "interactions": SUFFIXES,
    "items": SUFFIXES,
    "nodes": SUFFIXES,
    "edges": SUFFIXES,
    "images": (".parquet", ""),
    "videos": (".parquet", ""),
    "vectors": ("",),
}
"""The tables of a data set folder and the endings that each may have; "" is a folder of files."""

_READ = ("interactions", "items", "nodes", "edges", "images", "vectors")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set folder, checked.

    Attributes:
        path: the folder.
        log: the histories, or None if there is no ``interactions.*``.
        items: what ``items.*`` lists, empty if there is none; row ``i`` is item row ``i`` of ``log``.
        graph: what ``nodes.*`` and ``edges.*`` hold, or None if there is neither.
        images: the pictures of items, or None if there are none.
        vectors: the spaces that the user brings in ``vectors``, by name.
        interactions_read: rows of ``interactions.*`` before the filters of the history config.
        fingerprint: SHA-256 (hex) over names, sizes and bytes of the files that were read, every picture included.
        files: every known table that is there, read or not, by the name of the table.
        notes: remarks on what is there and was not used, one sentence each.
    """

    path: Path
    log: InteractionLog | None
    items: ItemTable
    graph: GraphTables | None
    images: ImageTable | None
    vectors: dict[str, VectorTable]
    interactions_read: int
    fingerprint: str
    files: dict[str, Path]
    notes: tuple[str, ...]


def read_dataset(
    path: str | Path,
    config: HistoryConfig | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    decode: bool = False,
) -> Dataset:
    """Read the data set folder at ``path``.

    Args:
        path: the folder.
        config: which interactions make a history; all of them by default.
        progress: told, in a few words, what is being done.
        decode: decode every picture in full, to find those that are damaged behind a good header.

    Raises:
        DatasetError: the folder or a file cannot be used as it stands; the message has one line for each of
            the first twenty problems.
        ConfigError: ``config`` speaks of a column that the interactions do not have.
    """
    path = Path(path)
    tell = progress or (lambda _: None)
    problems = Problems()
    files, notes = find_tables(path, problems)
    problems.raise_if_any()
    items, events, graph, images = None, None, None, None
    vectors: dict[str, VectorTable] = {}
    if "items" in files:
        tell(f"reading {files['items'].name}")
        items = read_items(files["items"], problems)
    if "interactions" in files:
        tell(f"reading {files['interactions'].name}")
        events = read_events(files["interactions"], problems)
    if tables := [files[name].name for name in ("nodes", "edges") if name in files]:
        tell(f"reading {' and '.join(tables)}")
        graph = read_graph(files.get("nodes"), files.get("edges"), problems)
    # With problems in the tables, an id may be missing only because its row could not be read.
    known = _item_ids(items, events) if not len(problems) else None
    if "images" in files:
        tell(f"looking at the pictures of {files['images'].name}")
        images = read_images(files["images"], problems, known)
    if "vectors" in files:
        tell("reading the vectors")
        vectors = read_vectors(files["vectors"], problems, known)
    problems.raise_if_any()
    if images is not None and decode:
        verify_pictures(images, problems, progress)
        problems.raise_if_any()
    items = items or ItemTable()
    log = None
    if events is not None:
        tell("sorting the interactions")
        log = build_log(events, config or HistoryConfig(), items.frame["item_id"])
    tell("computing the fingerprint")
    read = [files[name] for name in _READ if name in files and name not in ("images", "vectors")]
    read += [*(images.files if images is not None else ()), *(table.path for table in vectors.values())]
    return Dataset(
        path=path,
        log=log,
        items=items,
        graph=graph,
        images=images,
        vectors=vectors,
        interactions_read=0 if events is None else events.frame.height,
        fingerprint=fingerprint(read),
        files=files,
        notes=(*notes, *problems.notes, *_unused(files)),
    )


def find_tables(path: Path, problems: Problems) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Look which tables the folder has; return them by name, and a note on everything else at its top.

    A table that is there in two forms is a problem, and so is a folder without any.
    """
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        problems.add(path, "the data set folder does not exist.")
        return {}, ()
    except NotADirectoryError:
        problems.add(path, "this is a file; name the folder that it lies in.")
        return {}, ()
    except OSError as error:
        problems.add(path, f"the folder cannot be read ({error.strerror}).")
        return {}, ()
    known = {name + form: name for name, forms in FORMS.items() for form in forms}
    files: dict[str, Path] = {}
    notes = []
    for entry in entries:
        name = known.get(entry.name)
        if name is None or entry.is_dir() != (entry.name == name):
            notes.append(_note(entry, known))
        elif name in files:
            problems.add(entry, f"{files[name].name} is there too; keep one of the two.")
        else:
            files[name] = entry
    if not files:
        expected = (
            "interactions, items, nodes or edges as .csv, .csv.gz or .parquet; images/ or images.parquet; "
            "vectors/SPACE.parquet"
        )
        problems.add(path, " ".join([f"there is no table of a data set in this folder ({expected}).", *notes]))
    return files, tuple(notes)


def fingerprint(files: list[Path]) -> str:
    """Return the SHA-256 (hex) over the names, sizes and bytes of ``files``, in this order."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _item_ids(items: ItemTable | None, events: Events | None) -> Collection[str] | None:
    """Return the ids that pictures and vectors may be of: all that the tables name, or None if there is no table.

    Those of events that the history config leaves out count too: what is of them is no mistake.
    """
    if items is None and events is None:
        return None
    ids = set() if items is None else set(items.frame["item_id"])
    return ids if events is None else ids.union(events.frame["item_id"].unique())


def _unused(files: dict[str, Path]) -> tuple[str, ...]:
    unused = [path.name for name, path in files.items() if name not in _READ]
    return tuple(f"{shown(name)} is for a space that this version does not train; it was not read." for name in unused)


def _note(entry: Path, known: dict[str, str]) -> str:
    close = difflib.get_close_matches(entry.name.casefold(), known, n=1, cutoff=0.75)
    hint = f" (is it meant to be {shown(close[0])}?)" if close and close[0] != entry.name else ""
    return f"{shown(entry.name)} is no table of a data set and was not read{hint}."
