"""From a store and an output file to answers in bulk: the facts that decide them, the columns, how far it has come."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from recsvc.answers.bundle import Bundle
from recsvc.answers.eligibility import Availability
from recsvc.answers.neighbours import Wanted
from recsvc.answers.questions import Question
from recsvc.answers.scored import StageObserver
from recsvc.bulk.neighbours import NeighboursInBulk
from recsvc.bulk.next_items import REASONS, NextItemsInBulk
from recsvc.bulk.parts import Parts, Reach, open_parts
from recsvc.bulk.sources import HistorySource

Progress = Callable[[int, int], None]
"""Told how many of how many have been answered."""

USERS_AT_ONCE: Final = 2048
"""Users of one part: what is lost by a kill, and what memory holds."""
_ITEMS_AT_ONCE: Final = 8192

_USER_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("reason", pa.string()),
    ]
)
_ITEM_SCHEMA = pa.schema(
    [("item_id", pa.string()), ("rank", pa.int32()), ("similar_item_id", pa.string()), ("score", pa.float32())]
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a call has done.

    Attributes:
        answered: Users, or items, of the file.
        resumed: How many of them an earlier call had answered.
        anew: The fact in which an earlier call had answered another question, so that its parts were thrown away.
    """

    answered: int
    resumed: int
    anew: str | None


def recommend_all(
    bundle: Bundle,
    source: HistorySource,
    question: Question,
    out: Path,
    *,
    threads: int,
    blocked: Collection[str] = (),
    progress: Progress = lambda done, total: None,
    observe: StageObserver = lambda stage, seconds: None,
) -> Done:
    """Write next items for every user of a source.

    Columns: ``user_id``, ``rank`` (from 1), ``item_id``, ``score``, ``reason``; the metadata say from which release.

    Args:
        bundle: The release.
        source: Whose histories.
        question: What is asked of everybody, see ``NextItemsInBulk``.
        out: The file; one that is there is replaced when the new one is whole.
        threads: How many to use.
        blocked: Items out of stock or expired.
        progress: Told after each part.
        observe: See ``NextItemsInBulk``.

    Raises:
        RequestError: If the question cannot be answered, or the file cannot be written.
        DatabaseError: If the database has failed.
    """
    available = Availability.without(blocked, bundle)
    answers = NextItemsInBulk(bundle, question, available, threads=threads, observe=observe)
    facts = {"release": bundle.release, "question": _plain(question), **source.name, "blocked": _sum(blocked)}
    ids = pa.array(bundle.catalogue.ids, pa.string())
    reasons = pa.array(REASONS)

    def parts(reach: Reach) -> Iterator[tuple[Any, Reach]]:
        done = reach.done
        for histories in source.after(reach.last, reach.done, USERS_AT_ONCE):
            found = answers.answer(histories)
            columns = [
                pa.array(histories.users, pa.string()).take(found.users),
                _ranks(found.users),
                ids.take(found.items),
                pa.array(found.scores.astype(np.float32)),
                reasons.take(found.reasons),
            ]
            done += len(histories)
            yield pa.table(columns, schema=_USER_SCHEMA), Reach(histories.users[-1], done)

    with open_parts(out, _USER_SCHEMA, facts) as (opened, anew):
        return _write(opened, parts, source.count(), anew, progress)


def similar_all(
    bundle: Bundle,
    space: str,
    wanted: Wanted,
    out: Path,
    *,
    threads: int,
    blocked: Collection[str] = (),
    progress: Progress = lambda done, total: None,
) -> Done:
    """Write the neighbours of every item of a space.

    Columns: ``item_id``, ``rank`` (from 1), ``similar_item_id``, ``score``; see ``recommend_all`` for the rest.

    Raises:
        RequestError: If the question cannot be answered, or the file cannot be written.
    """
    answers = NeighboursInBulk(bundle, space, wanted, Availability.without(blocked, bundle), threads=threads)
    facts = {"release": bundle.release, "question": {"space": space, **_plain(wanted)}, "blocked": _sum(blocked)}
    ids = pa.array(bundle.catalogue.ids, pa.string())

    def parts(reach: Reach) -> Iterator[tuple[Any, Reach]]:
        done = reach.done
        for found in answers.after(reach.done, _ITEMS_AT_ONCE):
            columns = [
                ids.take(found.items),
                _ranks(found.items),
                ids.take(found.neighbours),
                pa.array(found.scores.astype(np.float32)),
            ]
            done = min(done + _ITEMS_AT_ONCE, answers.count())
            yield pa.table(columns, schema=_ITEM_SCHEMA), Reach(None, done)

    with open_parts(out, _ITEM_SCHEMA, facts) as (opened, anew):
        return _write(opened, parts, answers.count(), anew, progress)


def _write(
    parts: Parts,
    made: Callable[[Reach], Iterator[tuple[Any, Reach]]],
    total: int,
    anew: str | None,
    progress: Progress,
) -> Done:
    begun = parts.reach or Reach(None, 0)
    reach = begun
    for table, reach in made(begun):
        parts.add(table, reach)
        progress(reach.done, max(total, reach.done))
    parts.finish()
    return Done(reach.done, begun.done, anew)


def _ranks(owners: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """Places from 1 within runs of the same owner, int32."""
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    begins = np.repeat(starts, np.diff(starts, append=len(owners)))
    return pa.array((np.arange(len(owners)) - begins + 1).astype(np.int32))


def _plain(asked: Question | Wanted) -> dict[str, Any]:
    """What a question asks for, as plain JSON."""
    content = asdict(asked)
    content["filter"] = asked.filter.model_dump(mode="json") if isinstance(asked.filter, BaseModel) else None
    for name in ("exclude", "allow", "already"):
        if content.get(name):
            content[name] = sorted(content[name])
    return {name: value for name, value in content.items() if value not in (None, (), [])}


def _sum(blocked: Collection[str]) -> str:
    """Tells one set of blocked items from another, without naming any."""
    return hashlib.sha256("\0".join(sorted(blocked)).encode()).hexdigest()[:16] if blocked else "none"
