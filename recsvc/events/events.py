"""What people did: taken once each, in any order, and told as histories."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Delete, Row, Select, bindparam, delete, func, or_, select, text, true, tuple_

from recsvc.events.connections import Connections
from recsvc.events.forgetting import Times, Tombstones
from recsvc.events.limits import MAX_NAME_BYTES, is_storable
from recsvc.events.schema import answers, events
from recsvc.events.times import EPOCH, current, from_milliseconds, to_milliseconds
from recsvc.limits import text_flaw

MAX_SKEW_MS = 5 * 60 * 1000
"""How far ahead of our clock the time of an event may be."""

_IN_ONE_QUERY = 1000
_PRUNED_AT_ONCE = 20_000
_BY_IDS = select(*(column for column in events.c if column is not events.c.sequence)).where(
    events.c.event_id.in_(bindparam("ids", expanding=True))
)
_KNOWN = select(events.c.event_id).where(events.c.event_id.in_(bindparam("ids", expanding=True)))
_NEXT_SEQUENCES = text("SELECT nextval(pg_get_serial_sequence('events', 'sequence')) FROM generate_series(1, :count)")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person did with an item.

    Attributes:
        event_id: The sender's own id, by which an event that is sent again is known.
        user_id: Who.
        item_id: With what.
        kind: What was done, such as ``view`` or ``buy``.
        time: When, with a time zone; kept to the millisecond.
        weight: How much it counts, at least 0; None says nothing about it.
        recommendation_id: The answer that it came from, if any.
    """

    event_id: str
    user_id: str
    item_id: str
    time: datetime
    kind: str = "view"
    weight: float | None = None
    recommendation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event that was sent.

    Attributes:
        status: ``accepted``; ``duplicate`` of an event that was here, or came earlier in the batch; or ``rejected``.
        reason: Why it was rejected, as a clause; ``differs`` where a duplicate says something else than the first,
            which stays.
    """

    status: Literal["accepted", "duplicate", "rejected"]
    reason: str | None = None


ACCEPTED = Outcome("accepted")
DUPLICATE = Outcome("duplicate")
DIFFERS = Outcome("duplicate", "differs")
FORGOTTEN = Outcome("rejected", "is from before its user was forgotten")


class Place(NamedTuple):
    """Where an event stands in the order of its user's: by time (epoch milliseconds), then by arrival."""

    time: int
    sequence: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was kept, and where it stands."""

    event: Event
    place: Place


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of a user have been deleted."""

    events: int
    answers: int


class EventStore:
    """The events of a database."""

    def __init__(self, connections: Connections, tombstones: Tombstones, history_kinds: Collection[str]) -> None:
        self._connections = connections
        self._tombstones = tombstones
        history = (
            select(events.c.item_id)
            .where(events.c.user_id == bindparam("user"))
            .order_by(events.c.time.desc(), events.c.sequence.desc())
            .limit(bindparam("limit"))
        )
        self._in_history = or_(*(events.c.kind == kind for kind in sorted(history_kinds))) if history_kinds else true()
        self._history = connections.prepared(history.where(self._in_history))
        self._insertion = connections.insert(events).on_conflict_do_nothing().returning(events.c.event_id)

    def add(self, events: Sequence[Event], *, now: datetime | None = None) -> list[Outcome]:
        """Take events, all in one transaction, and say of each what became of it, in their order.

        An event is known by its id: sent again, in the same batch or by many at once, it counts once. Rejected, each
        for itself: ids that cannot be kept, times before 1970 or more than five minutes ahead, and events of somebody
        who has been forgotten since.

        Raises:
            DatabaseError: nothing has been taken.
        """
        if not events:
            return []
        latest = current(now) + MAX_SKEW_MS
        flaws = [_flaw(event, latest) for event in events]
        return self._connections.write(lambda connection: self._add(connection, events, flaws))

    def history(self, user_id: str, limit: int = 200) -> list[str]:
        """Return the items of a user's newest ``limit`` events that make a history, the oldest first."""
        if not is_storable(user_id):
            return []
        rows = self._connections.fetch(self._history, {"user": user_id, "limit": limit})
        return [item_id for (item_id,) in reversed(rows)]

    def histories(self, after: str | None, users: int, limit: int = 200) -> list[tuple[str, list[str]]]:
        """Return the next ``users`` users behind one, in the database's order of ids, each with their `history`.

        Args:
            after: the last user that has been returned; None: begin.
            users: how many users at most; fewer are the last.
            limit: as of `history`.
        """
        ids = select(events.c.user_id).where(self._in_history)
        if after is not None:
            ids = ids.where(events.c.user_id > after)
        ids = ids.distinct().order_by(events.c.user_id).limit(users)
        newest_first = (events.c.time.desc(), events.c.sequence.desc())

        def work(connection: Connection) -> list[tuple[str, list[str]]]:
            found = connection.execute(ids).scalars().all()
            if not found:
                return []
            place = func.row_number().over(partition_by=events.c.user_id, order_by=newest_first).label("place")
            ranked = select(events.c.user_id, events.c.item_id, place)
            ranked = ranked.where(events.c.user_id.between(found[0], found[-1]), self._in_history)
            newest = ranked.subquery()
            query = select(newest.c.user_id, newest.c.item_id).where(newest.c.place <= limit)
            histories: dict[str, list[str]] = {user_id: [] for user_id in found}
            for user_id, item_id in connection.execute(query.order_by(newest.c.user_id, newest.c.place.desc())):
                # Somebody whose first event has come since then is left for the next time.
                if user_id in histories:
                    histories[user_id].append(item_id)
            return list(histories.items())

        return self._connections.read(work)

    def count_users(self) -> int:
        """Return how many users have a history."""
        query = select(func.count(events.c.user_id.distinct())).where(self._in_history)
        return int(self._page(query)[0][0])

    def timeline(self, user_id: str, limit: int = 200, before: Place | None = None) -> list[StoredEvent]:
        """Return a user's newest ``limit`` events of any kind, newest first; the next page is ``before`` the last."""
        if not is_storable(user_id):
            return []
        query = select(events).where(events.c.user_id == user_id)
        if before is not None:
            query = query.where(tuple_(events.c.time, events.c.sequence) < tuple_(before.time, before.sequence))
        query = query.order_by(events.c.time.desc(), events.c.sequence.desc()).limit(limit)
        return [_stored(row) for row in self._page(query)]

    def rows(self, since: datetime | None = None, size: int = 20_000) -> Iterator[Sequence[Row[Any]]]:
        """Yield the rows of all events from ``since`` on, in order of arrival, at most ``size`` at a time."""
        query = select(events).order_by(events.c.sequence).limit(size)
        if since is not None:
            query = query.where(events.c.time >= to_milliseconds(since))
        last: int | None = None
        while found := self._page(query if last is None else query.where(events.c.sequence > last)):
            yield found
            last = found[-1].sequence

    def has_weights(self, since: datetime | None = None) -> bool:
        """Whether any event from ``since`` on has a weight."""
        query = select(events.c.sequence).where(events.c.weight.is_not(None)).limit(1)
        if since is not None:
            query = query.where(events.c.time >= to_milliseconds(since))
        return bool(self._page(query))

    def known(self, event_ids: Collection[str]) -> set[str]:
        """Return those of ``event_ids`` whose events are here."""
        asked = [event_id for event_id in event_ids if is_storable(event_id)]

        def work(connection: Connection) -> set[str]:
            found: set[str] = set()
            for start in range(0, len(asked), _IN_ONE_QUERY):
                found.update(connection.execute(_KNOWN, {"ids": asked[start : start + _IN_ONE_QUERY]}).scalars())
            return found

        return self._connections.read(work)

    def forgotten(self, users: Collection[str]) -> Times:
        """Return those of ``users`` who have been forgotten, and until when (epoch milliseconds)."""
        asked = [user for user in users if is_storable(user)]

        def work(connection: Connection) -> Times:
            return self._tombstones.until(connection, asked) if self._tombstones.any(connection) else {}

        return self._connections.read(work)

    def forget(self, user_id: str, *, now: datetime | None = None) -> Forgotten:
        """Delete all events and answers of a user, and refuse from now on what they did until now.

        See `recsvc.events.forgetting` for what stays. Where nothing was known of the user it is noted all the same,
        since a file that is imported later may know more.
        """
        if not is_storable(user_id):
            return Forgotten(0, 0)

        def work(connection: Connection) -> Forgotten:
            self._tombstones.lock(connection)
            own = events.c.user_id == user_id
            newest = connection.execute(select(func.max(events.c.time)).where(own)).scalar()
            self._tombstones.add(connection, user_id, max(current(now), newest or 0))
            return Forgotten(
                connection.execute(delete(events).where(own)).rowcount,
                connection.execute(delete(answers).where(answers.c.user_id == user_id)).rowcount,
            )

        found = self._connections.write(work)
        self._connections.empty_log()
        return found

    def prune(self, before: datetime) -> int:
        """Delete the events of all users from before an instant, little by little; returns how many there were."""
        limit = to_milliseconds(before)
        ends = select(func.min(events.c.sequence), func.max(events.c.sequence))
        first, last = self._connections.read(lambda connection: connection.execute(ends).one())
        pruned = 0
        for start in range(first or 0, (last or 0) + 1, _PRUNED_AT_ONCE):
            chosen = events.c.sequence.between(start, start + _PRUNED_AT_ONCE - 1) & (events.c.time < limit)
            pruned += self._delete(delete(events).where(chosen))
        return pruned

    def _page(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return self._connections.read(lambda connection: connection.execute(query).all())

    def _delete(self, query: Delete) -> int:
        return self._connections.write(lambda connection: connection.execute(query).rowcount)

    def _add(self, connection: Connection, sent: Sequence[Event], flaws: Sequence[str | None]) -> list[Outcome]:
        forgotten = self._tombstones.until(
            connection, {event.user_id for event, flaw in zip(sent, flaws, strict=True) if flaw is None}
        )
        rows: list[dict[str, Any] | Outcome] = []
        firsts: dict[str, dict[str, Any]] = {}
        for event, flaw in zip(sent, flaws, strict=True):
            if flaw is not None:
                rows.append(Outcome("rejected", flaw))
                continue
            row = _row(event)
            if row["time"] <= forgotten.get(event.user_id, -1):
                rows.append(FORGOTTEN)
                continue
            firsts.setdefault(event.event_id, row)
            rows.append(row)
        if not firsts:
            return [row for row in rows if isinstance(row, Outcome)]
        known = firsts.keys() - self._insert(connection, list(firsts.values()))
        kept = firsts | self._find(connection, sorted(known))

        def outcome(row: dict[str, Any]) -> Outcome:
            event_id = row["event_id"]
            if row is firsts[event_id] and event_id not in known:
                return ACCEPTED
            return DUPLICATE if row == kept[event_id] else DIFFERS

        return [row if isinstance(row, Outcome) else outcome(row) for row in rows]

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
        """Insert what is not there yet; returns the ids of what has been inserted."""
        if self._connections.is_sqlite:
            return set(connection.execute(self._insertion, rows).scalars())
        # Two batches that share events must take them in one order, or each may wait for the other for ever; the order
        # of arrival is that of the batch all the same.
        numbers = connection.execute(_NEXT_SEQUENCES, {"count": len(rows)}).scalars()
        numbered = [{**row, "sequence": number} for row, number in zip(rows, numbers, strict=True)]
        numbered.sort(key=lambda row: row["event_id"])
        return set(connection.execute(self._insertion, numbered).scalars())

    def _find(self, connection: Connection, event_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of these ids, without their places in the order of arrival."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(event_ids), _IN_ONE_QUERY):
            some = {"ids": event_ids[start : start + _IN_ONE_QUERY]}
            for row in connection.execute(_BY_IDS, some).mappings():
                found[row["event_id"]] = dict(row)
        return found


def _stored(row: Any) -> StoredEvent:
    """Return the event in a row of the table."""
    event = Event(
        event_id=row.event_id,
        user_id=row.user_id,
        item_id=row.item_id,
        time=from_milliseconds(row.time),
        kind=row.kind,
        weight=row.weight,
        recommendation_id=row.recommendation_id,
    )
    return StoredEvent(event, Place(row.time, row.sequence))


def _row(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "kind": event.kind,
        "time": to_milliseconds(event.time),
        "weight": None if event.weight is None else float(event.weight),
        "recommendation_id": event.recommendation_id,
    }


def _flaw(event: Event, latest: int) -> str | None:
    """Say why an event cannot be taken, or return None."""
    for name, value, limit in (
        ("event_id", event.event_id, None),
        ("user_id", event.user_id, None),
        ("item_id", event.item_id, None),
        ("kind", event.kind, MAX_NAME_BYTES),
        ("recommendation_id", event.recommendation_id, None),
    ):
        if value is not None and (flaw := text_flaw(value, limit) if limit else text_flaw(value)) is not None:
            return f"{name} {flaw}"
    if event.weight is not None and not (math.isfinite(event.weight) and event.weight >= 0):
        return "weight is not a finite number of at least 0"
    if event.time.tzinfo is None:
        return "time has no time zone"
    if event.time < EPOCH:
        return "time is before 1970"
    if to_milliseconds(event.time) > latest:
        return f"time is in the future; our clock says {from_milliseconds(latest - MAX_SKEW_MS):%Y-%m-%dT%H:%M:%SZ}"
    return None
