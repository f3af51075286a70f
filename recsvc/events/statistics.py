"""What is in a database, in figures."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, and_, distinct, func, or_, select

from recsvc.events.schema import answers, api_keys, events, forgotten, item_states
from recsvc.events.times import current, from_milliseconds


@dataclass(frozen=True)
class Statistics:
    """Counts of everything; ``first`` and ``last`` are the times of the oldest and the newest event."""

    events: int
    users: int
    items: int
    first: datetime | None
    last: datetime | None
    answers: int
    users_forgotten: int
    items_blocked: int
    live_keys: int


def count_all(connection: Connection, now: datetime) -> Statistics:
    """Count everything; reads each table once."""
    whole = select(
        func.count(),
        func.count(distinct(events.c.user_id)),
        func.count(distinct(events.c.item_id)),
        func.min(events.c.time),
        func.max(events.c.time),
    ).select_from(events)
    number, users, items, first, last = connection.execute(whole).one()
    instant = current(now)
    blocked = or_(~item_states.c.available, item_states.c.expires <= instant)
    live = and_(api_keys.c.revoked.is_(None), or_(api_keys.c.expires.is_(None), api_keys.c.expires > instant))

    def count(table: Table, condition: ColumnElement[bool] | None = None) -> int:
        query = select(func.count()).select_from(table)
        return int(connection.execute(query if condition is None else query.where(condition)).scalar_one())

    return Statistics(
        events=number,
        users=users,
        items=items,
        first=None if first is None else from_milliseconds(first),
        last=None if last is None else from_milliseconds(last),
        answers=count(answers),
        users_forgotten=count(forgotten),
        items_blocked=count(item_states, blocked),
        live_keys=count(api_keys, live),
    )
