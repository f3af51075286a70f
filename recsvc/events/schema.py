"""The tables of the database, as they stand after the newest migration.

Times are whole milliseconds since 1970-01-01 UTC (BIGINT), so that both databases compare and store them alike.
Identifiers are the user's own texts. Names of constraints are fixed, so that migrations can speak of them.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"})

events = Table(
    "events",
    metadata,
    # Order of arrival, which decides between events of one instant. In SQLite it is the row id.
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("user_id", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("weight", Double),
    Column("recommendation_id", Text),
)

# Both databases walk it backwards for the newest events of a user, and find all that a history needs in it.
Index("events_by_user", events.c.user_id, events.c.time, events.c.sequence, events.c.kind, events.c.item_id)
Index(
    "events_by_recommendation",
    events.c.recommendation_id,
    postgresql_where=events.c.recommendation_id.is_not(None),
    sqlite_where=events.c.recommendation_id.is_not(None),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("user_id", Text),
    Column("release", Text, nullable=False),
    Column("continues", Text),  # the answer whose next page this is
    Column("items", JSON().with_variant(JSONB(), "postgresql"), nullable=False),
)

Index("answers_by_time", answers.c.created)
Index(
    "answers_by_user",
    answers.c.user_id,
    postgresql_where=answers.c.user_id.is_not(None),
    sqlite_where=answers.c.user_id.is_not(None),
)

item_states = Table(
    "item_states",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("available", Boolean, nullable=False),
    Column("expires", BigInteger),
)

Index(
    "item_states_that_expire",
    item_states.c.expires,
    postgresql_where=item_states.c.expires.is_not(None),
    sqlite_where=item_states.c.expires.is_not(None),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),  # names with a comma between them
    Column("rate", Double),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("user_hash", LargeBinary, primary_key=True),
    Column("time", BigInteger, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    # Order of arrival. In SQLite it is the row id.
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("parameters", JSON().with_variant(JSONB(), "postgresql"), nullable=False),
    Column("state", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("alone", Text),  # the kind, where only one of it may be live
    Column("idempotency_key", Text, unique=True),
    Column("requested_by", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("due", BigInteger),
    Column("delivered", BigInteger),
    Column("started", BigInteger),
    Column("finished", BigInteger),
    Column("heartbeat", BigInteger),
    Column("owner", Text),
    Column("attempt", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("progress_done", Integer),
    Column("progress_total", Integer),
    Column("progress_text", Text),
    Column("error", Text),
    Column("result", JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")),
    Column("log", Text, nullable=False),
    UniqueConstraint("kind", "due"),  # several schedulers, one job
)

Index("jobs_by_state", jobs.c.state, jobs.c.sequence)
_live, _running = jobs.c.state.in_(["queued", "running"]), jobs.c.state == "running"
Index("jobs_live_alone", jobs.c.alone, unique=True, postgresql_where=_live, sqlite_where=_live)
Index("jobs_running", jobs.c.lane, unique=True, postgresql_where=_running, sqlite_where=_running)
