"""Who has been forgotten, so that old events do not bring them back.

When a user is forgotten, their events and answers are deleted, and one row stays: a keyed hash (HMAC-SHA-256) of the
user's id, and the time. Without it, the next import of an old file, or a client that sends an event again, would
restore what was deleted, since nothing else knows that these events were here once. Events of that user up to that
time are refused from then on; later ones are taken, since a person may come back. The key is 32 random bytes that this
database alone has: two databases do not show that they have forgotten the same person, and the row alone names nobody.
Whoever has database and key can still ask whether one given id was forgotten, which is what the row is for.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, insert, select, update

from recsvc.events.connections import Connections
from recsvc.events.schema import forgotten, secrets

_KEY = "forgotten"
_LOCK = 0x7265_6373_7663_0002
_IN_ONE_QUERY = 1000
_TIMES = select(forgotten.c.user_hash, forgotten.c.time).where(
    forgotten.c.user_hash.in_(bindparam("hashes", expanding=True))
)

Times = Mapping[str, int]
"""For each user who was forgotten, until when (epoch milliseconds)."""


class Tombstones:
    """The rows that stay of the forgotten."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        query = select(secrets.c.value).where(secrets.c.name == _KEY)
        self._key = connections.read(lambda connection: bytes(connection.execute(query).scalar_one()))

    def until(self, connection: Connection, users: Collection[str]) -> Times:
        """Return until when those of ``users`` who were forgotten are, and let nobody be forgotten meanwhile.

        The order of locks matters: a writer that looked before a deletion and wrote after it would undo it.
        """
        self._connections.lock(connection, _LOCK, shared=True)
        by_hash = {self._hash(user): user for user in users}
        hashes = list(by_hash)
        found: dict[str, int] = {}
        for start in range(0, len(hashes), _IN_ONE_QUERY):
            some = {"hashes": hashes[start : start + _IN_ONE_QUERY]}
            for user_hash, time in connection.execute(_TIMES, some):
                found[by_hash[bytes(user_hash)]] = time
        return found

    def any(self, connection: Connection) -> bool:
        """Whether anybody has been forgotten."""
        return connection.execute(select(forgotten.c.time).limit(1)).first() is not None

    def lock(self, connection: Connection) -> None:
        """Wait for all writers, and keep new ones out until the transaction ends."""
        self._connections.lock(connection, _LOCK)

    def add(self, connection: Connection, user_id: str, time: int) -> None:
        """Note that ``user_id`` is forgotten up to ``time``, or up to where it was if that is later; `lock` first."""
        user_hash = self._hash(user_id)
        known = forgotten.c.user_hash == user_hash
        before = connection.execute(select(forgotten.c.time).where(known)).scalar()
        if before is None:
            connection.execute(insert(forgotten).values(user_hash=user_hash, time=time))
        elif before < time:
            connection.execute(update(forgotten).where(known).values(time=time))

    def _hash(self, user_id: str) -> bytes:
        return hmac.digest(self._key, user_id.encode(), hashlib.sha256)
