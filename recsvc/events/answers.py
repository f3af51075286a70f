"""Answers that were given: for next pages without repeats, and for telling what came of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, case, delete, distinct, exists, func, literal, select

from recsvc.events.connections import Connections
from recsvc.events.forgetting import Tombstones
from recsvc.events.limits import is_storable
from recsvc.events.schema import answers, events
from recsvc.events.times import to_milliseconds

MAX_PAGES: Final = 1000
"""How many answers, each the next page of the one before, are followed back."""

_PRUNED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        id: The recommendation id.
        created: When it was given, with a time zone.
        user_id: Whom it was for; None where a history was sent instead.
        release: Which release gave it.
        continues: The recommendation id of the page before, if any.
        items: Ids of its items, the best first.
    """

    id: str
    created: datetime
    user_id: str | None
    release: str
    continues: str | None
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Served:
    """What a user has been shown so far.

    Attributes:
        user_id: Whom the answer was for, if that is known.
        release: Which release gave it.
        items: Ids of the items of this answer and of all pages before it, those of the first page first.
    """

    user_id: str | None
    release: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What came of the answers of one release.

    Attributes:
        release: The release.
        answers: How many answers it gave.
        clicked: How many of them had at least one event on one of their items.
        clicks: How many such events there were.
    """

    release: str
    answers: int
    clicked: int
    clicks: int


class AnswerStore:
    """The answers of a database."""

    def __init__(self, connections: Connections, tombstones: Tombstones) -> None:
        self._connections = connections
        self._tombstones = tombstones

    def add_many(self, records: Sequence[Answer]) -> int:
        """Keep answers, those that are there already excepted; returns how many there are to keep.

        Left out: answers to somebody who has been forgotten since, and ids that no database can keep.
        """
        if not records:
            return 0

        def work(connection: Connection) -> int:
            users = {record.user_id for record in records if record.user_id is not None}
            forgotten = self._tombstones.until(connection, {user for user in users if is_storable(user)})
            rows = [_row(record) for record in records if _is_storable(record)]
            rows = [row for row in rows if row["created"] > forgotten.get(row["user_id"], -1)]
            rows.sort(key=lambda row: row["id"])  # one order for all writers, so that none waits for another for ever
            if rows:
                connection.execute(self._connections.insert(answers).on_conflict_do_nothing(), rows)
            return len(rows)

        return self._connections.write(work)

    def served(self, recommendation_id: str) -> Served | None:
        """Return what has been shown up to and with an answer, at most `MAX_PAGES` pages; None if it is not known."""
        if not is_storable(recommendation_id):
            return None
        rows = self._connections.read(lambda connection: connection.execute(_PAGES, {"id": recommendation_id}).all())
        if not rows:
            return None
        items = dict.fromkeys(item for row in reversed(rows) for item in row.shown)
        return Served(rows[0].user_id, rows[0].release, tuple(items))

    def attribution(
        self, since: datetime, until: datetime | None = None, *, kinds: Collection[str] = ()
    ) -> list[Attribution]:
        """Count, for each release, answers given from ``since`` on (and before ``until``) and what came of them.

        An event counts if it names the answer and one of the answer's items; ``kinds`` restricts what events count.
        """
        unpacked = func.json_each if self._connections.is_sqlite else func.jsonb_array_elements_text
        values = unpacked(answers.c["items"]).table_valued("value")
        shown = exists(select(literal(1)).select_from(values).where(values.c.value == events.c.item_id))
        came = and_(events.c.recommendation_id == answers.c.id, shown)
        if kinds:
            came = and_(came, events.c.kind.in_(sorted(kinds)))
        clicked = func.count(distinct(case((events.c.sequence.is_not(None), answers.c.id))))
        query = (
            select(answers.c.release, func.count(distinct(answers.c.id)), clicked, func.count(events.c.sequence))
            .select_from(answers.outerjoin(events, came))
            .where(answers.c.created >= to_milliseconds(since))
            .group_by(answers.c.release)
            .order_by(answers.c.release)
        )
        if until is not None:
            query = query.where(answers.c.created < to_milliseconds(until))
        rows = self._connections.read(lambda connection: connection.execute(query).all())
        return [Attribution(*row) for row in rows]

    def prune(self, before: datetime) -> int:
        """Delete the answers from before an instant, little by little; returns how many there were."""
        old = select(answers.c.id).where(answers.c.created < to_milliseconds(before)).limit(_PRUNED_AT_ONCE)
        query = delete(answers).where(answers.c.id.in_(old))
        pruned = 0
        while count := self._connections.write(lambda connection: connection.execute(query).rowcount):
            pruned += count
        return pruned


def _row(record: Answer) -> dict[str, Any]:
    return {
        "id": record.id,
        "created": to_milliseconds(record.created),
        "user_id": record.user_id,
        "release": record.release,
        "continues": record.continues,
        "items": list(record.items),
    }


def _is_storable(record: Answer) -> bool:
    texts = (record.id, record.user_id or "", record.continues or "", *record.items)
    return all(map(is_storable, texts))


def _pages() -> Select[Any]:
    """The query for an answer and those that it continues, the answer first."""
    columns = (answers.c.user_id, answers.c.release, answers.c["items"].label("shown"), answers.c.continues)
    first = select(*columns, literal(0).label("back")).where(answers.c.id == bindparam("id"))
    pages = first.cte(recursive=True)
    earlier = (
        select(*columns, (pages.c.back + 1).label("back"))
        .join(pages, answers.c.id == pages.c.continues)
        .where(pages.c.back < MAX_PAGES - 1)
    )
    pages = pages.union_all(earlier)
    return select(pages).order_by(pages.c.back)


_PAGES = _pages()
