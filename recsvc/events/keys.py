"""API keys: an id to find them by, and a secret of which only a hash is kept.

A key reads ``rsk_<id>_<secret>``. The secret is 256 random bits, so that a plain SHA-256 is as good as a slow hash:
there is nothing to guess. It is shown when the key is made, and never again.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from recsvc.errors import RequestError
from recsvc.events.connections import Connections
from recsvc.events.limits import MAX_NAME_BYTES, is_storable
from recsvc.events.schema import api_keys
from recsvc.events.times import current, from_milliseconds, to_milliseconds
from recsvc.limits import text_flaw

SCOPES: Final = ("read", "write", "admin")
"""What a key may do, each of them all that stands before it as well."""

MAX_RATE: Final = 1e6
_PREFIX = "rsk"
_PARTS = 3
_DRAWN = re.compile(rf"{_PREFIX}_(?P<id>[0-9a-f]{{16}})_(?P<secret>[A-Za-z0-9_-]{{43,128}})")
_BY_ID = select(api_keys).where(api_keys.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept.

    Attributes:
        id: What it is found by.
        name: Whose it is, in the words of whoever made it.
        secret_hash: SHA-256 of the secret.
        scopes: What it may do.
        rate: Requests per second that it may make; None: no limit of its own.
        created: When it was made.
        expires: From when on it is refused, if ever.
        revoked: Since when it is refused, if it is.
    """

    id: str
    name: str
    secret_hash: bytes = field(repr=False)
    scopes: tuple[str, ...]
    rate: float | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def matches(self, secret: str) -> bool:
        """Whether this is the key's secret; takes the same time wherever the two differ."""
        return hmac.compare_digest(_hash(secret), self.secret_hash)

    def is_live(self, now: datetime | None = None) -> bool:
        """Whether the key is neither revoked nor expired at ``now``."""
        instant = from_milliseconds(current(now))
        return self.revoked is None and (self.expires is None or instant < self.expires)

    def allows(self, scope: str) -> bool:
        """Whether the key may do what asks for ``scope``."""
        return any(SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)


class KeyStore:
    """The keys of a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def create(
        self,
        name: str,
        scopes: Collection[str],
        rate: float | None = None,
        expires: datetime | None = None,
        *,
        key: str | None = None,
    ) -> tuple[str, str]:
        """Make a key, and return its id and its secret, which is kept nowhere; `key_text` puts them together.

        Args:
            name: Whose it is.
            scopes: What it may do.
            rate: Requests per second that it may make; None: no limit of its own.
            expires: From when on it is refused, if ever.
            key: The key itself, as its owner sends it, where it has been drawn already; one that is there stays.

        Raises:
            RequestError: the name, a scope, the rate, the time or the key cannot be used.
        """
        if (flaw := text_flaw(name, MAX_NAME_BYTES)) is not None:
            raise RequestError(f"The name of the key {flaw}.")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            wrong = f"{unknown[0][:40]!r} is no scope" if unknown else "a key needs a scope"
            raise RequestError(f"{wrong}: give one of {', '.join(SCOPES)}.")
        if rate is not None and not 0 < rate <= MAX_RATE:
            raise RequestError(f"The rate of a key must be above 0 and at most {MAX_RATE:,.0f} requests per second.")
        now = current()
        if expires is not None and (expires.tzinfo is None or to_milliseconds(expires) <= now):
            raise RequestError("A key must expire in the future, at a time with a time zone.")
        key_id, secret = (secrets.token_hex(8), secrets.token_urlsafe(32)) if key is None else _drawn_key(key)
        row = {
            "id": key_id,
            "name": name,
            "secret_hash": _hash(secret),
            "scopes": ",".join(scope for scope in SCOPES if scope in scopes),
            "rate": rate,
            "created": now,
            "expires": None if expires is None else to_milliseconds(expires),
        }
        if key is None or not self._is_there(key_id, secret):
            self._connections.write(lambda connection: connection.execute(insert(api_keys).values(row)))
        return key_id, secret

    def _is_there(self, key_id: str, secret: str) -> bool:
        """Whether a key is kept already.

        Raises:
            RequestError: another of its id is, or it has been revoked: what was refused once stays so.
        """
        kept = self.find(key_id)
        if kept is not None and (kept.revoked is not None or not kept.matches(secret)):
            wrong = "has been revoked" if kept.matches(secret) else "has another secret"
            raise RequestError(f"The key {key_id} is there already, and {wrong}: draw a new one.")
        return kept is not None

    def list(self) -> list[ApiKey]:
        """Return all keys, revoked ones included, in the order in which they were made."""
        query = select(api_keys).order_by(api_keys.c.created, api_keys.c.id)
        return [_key(row) for row in self._connections.read(lambda connection: connection.execute(query).all())]

    def find(self, key_id: str) -> ApiKey | None:
        """Return the key of this id, whether it is live or not; None if there is none."""
        if not is_storable(key_id):
            return None
        row = self._connections.read(lambda connection: connection.execute(_BY_ID, {"id": key_id}).one_or_none())
        return None if row is None else _key(row)

    def revoke(self, key_id: str) -> bool:
        """Refuse a key from now on; returns whether there is one that had not been revoked."""
        if not is_storable(key_id):
            return False
        live = (api_keys.c.id == key_id) & api_keys.c.revoked.is_(None)
        query = update(api_keys).where(live).values(revoked=current())
        return self._connections.write(lambda connection: connection.execute(query).rowcount) == 1


def key_text(key_id: str, secret: str) -> str:
    """Return a key as its owner sends it."""
    return f"{_PREFIX}_{key_id}_{secret}"


def parse_key(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key that was sent, or None if it is none."""
    parts = text.split("_", _PARTS - 1)
    if len(parts) != _PARTS or parts[0] != _PREFIX or not parts[1] or not parts[2]:
        return None
    return parts[1], parts[2]


def _drawn_key(text: str) -> tuple[str, str]:
    """Id and secret of a key that was drawn elsewhere; it must be as hard to guess as ours.

    Raises:
        RequestError: it is none, or too short.
    """
    match = _DRAWN.fullmatch(text)
    if match is None:
        raise RequestError(
            f"The key must read {_PREFIX}_ID_SECRET: an id of 16 hexadecimal digits, and a secret of 43 to 128 "
            "letters, digits, - and _ that were drawn at random."
        )
    return match["id"], match["secret"]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        secret_hash=bytes(row.secret_hash),
        scopes=tuple(row.scopes.split(",")),
        rate=row.rate,
        created=from_milliseconds(row.created),
        expires=None if row.expires is None else from_milliseconds(row.expires),
        revoked=None if row.revoked is None else from_milliseconds(row.revoked),
    )
