"""The files of a release with more things in it: those that do not change are hard links to the ones before."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.attribute_lists import write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME
from recsvc.answers.bundle import CATALOGUE_NAME
from recsvc.answers.tensors import map_tensors
from recsvc.releases import Catalogue, Manifest, ManifestDraft, SpaceEntry, write_catalogue
from training.card import CARD_NAME
from training.config import Config
from training.export import write_cosine_index, write_table
from training.indexes import index_space
from training.progress import Reporter
from training.retrain.candidate import link_missing
from training.retrain.gate_verdict import Contender
from training.retrain.increment_data import Addition, Grown
from training.runtime import available_cores

ADDED_NAME = "added.json"
"""In a release that an increment has made: the things that it added, by space."""


def fill_release(staging: Path, parent: Contender, grown: Grown, config: Config, reporter: Reporter) -> ManifestDraft:
    """Write the files of the release that comes after another one.

    Args:
        staging: empty folder.
        parent: the release before, verified.
        grown: what comes to it.
        config: how vectors are indexed, and by how many threads.
        reporter: told of the indexes.
    """
    before = Catalogue.open(parent.folder / CATALOGUE_NAME)
    rows = np.arange(len(before))
    rows[before.num_items :] += len(grown.items)  # items stand first
    things = list(before)
    listed = [*things[: before.num_items], *grown.items, *things[before.num_items :], *grown.others]
    write_catalogue(staging / CATALOGUE_NAME, listed, item_type=before.item_type)
    before.close()
    catalogue = Catalogue.open(staging / CATALOGUE_NAME)
    write_attributes(staging / ATTRIBUTES_NAME, catalogue)
    entries = {}
    for name, entry in parent.manifest.spaces.items():
        entries[name] = entry
        table = map_tensors(parent.folder / entry.table)
        moved = rows[table["catalogue_rows"]]
        addition = grown.additions.get(name)
        if addition is not None:
            entries[name] = _with(addition, staging, entry, table["vectors"], moved, catalogue)
            threads = config.runtime.threads or available_cores()
            entries[name] = index_space(entries[name], staging, config.index, threads=threads, reporter=reporter)
        elif not np.array_equal(moved, table["catalogue_rows"]):
            (staging / entry.table).parent.mkdir()
            write_table(table["vectors"], moved, staging / entry.table, table.get("bias"))
    catalogue.close()
    added = {name: addition.things for name, addition in grown.additions.items()}
    (staging / ADDED_NAME).write_text(json.dumps(added, ensure_ascii=False, indent=1) + "\n", "utf-8")
    _write_card(staging, parent, grown.facts)
    link_missing(parent, staging)
    return _draft(parent.manifest, entries, grown.facts)


def _with(
    addition: Addition,
    staging: Path,
    entry: SpaceEntry,
    vectors: NDArray[np.float32],
    catalogue_rows: NDArray[np.int64],
    catalogue: Catalogue,
) -> SpaceEntry:
    """Write a space's table and exhaustive index with some vectors more; those that it has keep their rows."""
    new = [catalogue.row(item_id, node_type) for node_type, item_id in addition.things]
    assert None not in new, "what has a vector is in the catalogue"
    vectors = np.concatenate([vectors, addition.vectors])
    (staging / entry.table).parent.mkdir()
    write_table(vectors, np.concatenate([catalogue_rows, np.array(new, np.int64)]), staging / entry.table)
    write_cosine_index(vectors, staging / entry.index)
    return entry.model_copy(update={"count": len(vectors), "search": None})


def _write_card(staging: Path, parent: Contender, facts: dict[str, Any]) -> None:
    """The card of the release before, if it has one, and what has come to it."""
    card = parent.folder / CARD_NAME
    if card.is_file():
        vectors = ", ".join(f"{count:,} in `{name}`" for name, count in facts["vectors"].items())
        added = (
            f"Items {facts['items']:,}, things of other types {facts['other_things']:,}; vectors: {vectors}. They are "
            f"listed in `{ADDED_NAME}`. Nothing was trained: the figures above are those of the release before."
        )
        text = f"{card.read_text('utf-8')}\n## Added to release `{parent.release}`\n\n{added}\n"
        (staging / CARD_NAME).write_text(text, "utf-8")


def _draft(parent: Manifest, spaces: dict[str, SpaceEntry], facts: dict[str, Any]) -> ManifestDraft:
    data = {**parent.data, "increment": facts}
    return ManifestDraft(data=data, config=parent.config, metrics=parent.metrics, spaces=spaces)
