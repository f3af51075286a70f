"""Items out of stock or expired: state that changes without a release."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, false, func, or_, select, update

from recsvc.errors import RequestError
from recsvc.events.connections import Connections
from recsvc.events.schema import counters, item_states
from recsvc.events.times import current, from_milliseconds, to_milliseconds
from recsvc.limits import text_flaw

_COUNTER = "item_states"
_IN_ONE_QUERY = 1000
_VERSION = select(counters.c.value).where(counters.c.name == _COUNTER)


@dataclass(frozen=True, slots=True)
class ItemState:
    """Whether an item may be recommended.

    Attributes:
        item_id: The item, which no release needs to know.
        available: False takes it out of every answer.
        expires: From when on it is in no answer, with a time zone; None: never.
    """

    item_id: str
    available: bool = True
    expires: datetime | None = None


class ItemStateStore:
    """The item states of a database. An item that is simply available has no row."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def set(self, states: Sequence[ItemState]) -> int:
        """Set the states of some items, all or none, the last one of each item; returns the new version.

        Raises:
            RequestError: an id is none, or a time has no time zone.
            DatabaseError: nothing has been set.
        """
        for state in states:
            if (flaw := text_flaw(state.item_id)) is not None:
                raise RequestError(f"The item id {state.item_id[:40]!r} {flaw}.")
            if state.expires is not None and state.expires.tzinfo is None:
                raise RequestError(f"The time at which {state.item_id[:40]!r} expires has no time zone.")
        newest = {state.item_id: state for state in states}
        plain = [state.item_id for state in newest.values() if state.available and state.expires is None]
        kept = [_row(state) for state in newest.values() if not (state.available and state.expires is None)]

        def work(connection: Connection) -> int:
            # The counter's row is a lock as well: those who set states do it one after the other.
            mine = counters.c.name == _COUNTER
            version: int = connection.execute(
                update(counters).where(mine).values(value=counters.c.value + 1).returning(counters.c.value)
            ).scalar_one()
            for start in range(0, len(plain), _IN_ONE_QUERY):
                connection.execute(
                    delete(item_states).where(item_states.c.item_id.in_(plain[start : start + _IN_ONE_QUERY]))
                )
            if kept:
                statement = self._connections.insert(item_states)
                changed = {name: statement.excluded[name] for name in ("available", "expires")}
                connection.execute(statement.on_conflict_do_update(index_elements=["item_id"], set_=changed), kept)
            return version

        return self._connections.write(work)

    def version(self) -> int:
        """Return a number that grows whenever states are set; ask for it before `blocked`, not after."""
        return int(self._connections.read(lambda connection: connection.execute(_VERSION).scalar_one()))

    def find(self, item_id: str) -> ItemState:
        """Return the state of an item; one that nothing is stored of is available for ever."""
        query = select(item_states.c.available, item_states.c.expires).where(item_states.c.item_id == item_id)
        row = self._connections.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return ItemState(item_id)
        return ItemState(item_id, row.available, None if row.expires is None else from_milliseconds(row.expires))

    def blocked(self, now: datetime | None = None) -> tuple[frozenset[str], datetime | None]:
        """Return the items that may be in no answer at ``now``, and when the next one expires, if any will."""
        instant = current(now)
        query = select(item_states.c.item_id).where(
            or_(item_states.c.available == false(), item_states.c.expires <= instant)
        )
        coming = select(func.min(item_states.c.expires)).where(item_states.c.available, item_states.c.expires > instant)

        def work(connection: Connection) -> tuple[frozenset[str], datetime | None]:
            items = frozenset(connection.execute(query).scalars())
            following = connection.execute(coming).scalar()
            return items, None if following is None else from_milliseconds(following)

        return self._connections.read(work)


def _row(state: ItemState) -> dict[str, Any]:
    expires = None if state.expires is None else to_milliseconds(state.expires)
    return {"item_id": state.item_id, "available": state.available, "expires": expires}
