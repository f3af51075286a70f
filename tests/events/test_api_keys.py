"""Keys: found by id, told by a secret of which only the hash is kept."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from recsvc.errors import RequestError
from recsvc.events import key_text, keys, parse_key
from recsvc.events.schema import api_keys


def test_a_key_and_its_secret(database):
    key_id, secret = database.keys.create("shop window", ["read"], rate=2.5)
    key = database.keys.find(key_id)
    assert (key.id, key.name, key.scopes, key.rate, key.revoked) == (key_id, "shop window", ("read",), 2.5, None)
    assert key.is_live()
    assert key.matches(secret)
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "\0", "\ud800", hashlib.sha256(b"x").hexdigest()):
        assert not key.matches(wrong)


def test_the_secret_is_256_bits_and_kept_nowhere(database):
    key_id, secret = database.keys.create("shop", ["read"])
    _, other = database.keys.create("shop", ["read"])
    assert secret != other and len(secret) == 43  # 32 bytes in base 64
    row = database._connections.read(lambda connection: connection.execute(select(api_keys)).first())
    assert hashlib.sha256(secret.encode()).digest() in map(bytes, (v for v in row if isinstance(v, bytes | memoryview)))
    assert secret not in repr(row)
    assert str(database.keys.find(key_id).secret_hash) not in repr(database.keys.find(key_id))


def test_secrets_are_compared_in_constant_time(database, monkeypatch):
    key = database.keys.find(database.keys.create("shop", ["read"])[0])
    compared, real = [], hmac.compare_digest

    def compare(left, right):
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert not key.matches("wrong")
    assert compared == [(hashlib.sha256(b"wrong").digest(), key.secret_hash)]


def test_revoked(database):
    key_id, secret = database.keys.create("shop", ["read"])
    assert database.keys.revoke(key_id)
    assert not database.keys.revoke(key_id)
    assert not database.keys.revoke("nothing")
    assert not database.keys.revoke("\0")
    key = database.keys.find(key_id)
    assert key.matches(secret) and not key.is_live()


def test_expired(database):
    expires = datetime.now(UTC) + timedelta(hours=1)
    key = database.keys.find(database.keys.create("shop", ["read"], expires=expires)[0])
    assert key.is_live() and key.is_live(expires - timedelta(seconds=1))
    assert not key.is_live(expires)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [(["read"], {"read"}), (["write"], {"read", "write"}), (["admin", "read"], {"read", "write", "admin"})],
)
def test_scopes_hold_those_before_them(database, scopes, allowed):
    key = database.keys.find(database.keys.create("shop", scopes)[0])
    assert {scope for scope in keys.SCOPES if key.allows(scope)} == allowed


def test_keys_are_listed_as_they_were_made(database):
    made = {database.keys.create(f"key {i}", ["read"])[0] for i in range(3)}
    assert {key.id for key in database.keys.list()} == made
    assert database.keys.find("nothing") is None
    assert database.keys.find("\0") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "The name of the key is empty."),
        ({"name": "n" * 65}, "The name of the key has 65 bytes; at most 64 are allowed."),
        ({"scopes": ["root"]}, "'root' is no scope: give one of read, write, admin."),
        ({"scopes": []}, "a key needs a scope: give one of read, write, admin."),
        ({"rate": 0}, "The rate of a key must be above 0 and at most 1,000,000 requests per second."),
        ({"rate": float("nan")}, "The rate of a key must be above 0 and at most 1,000,000 requests per second."),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "A key must expire in the future, at a time with a time zone."),
        ({"expires": datetime(2999, 1, 1)}, "A key must expire in the future, at a time with a time zone."),
    ],
)
def test_what_makes_no_key(database, given, message):
    with pytest.raises(RequestError) as caught:
        database.keys.create(**{"name": "shop", "scopes": ["read"]} | given)
    assert str(caught.value) == message
    assert database.keys.list() == []


def test_a_key_is_one_text():
    assert parse_key(key_text("0123", "a_b-c")) == ("0123", "a_b-c")
    for text in ("", "rsk", "rsk_1", "rsk_1_", "rsk__x", "xyz_1_2", "RSK_1_2"):
        assert parse_key(text) is None


def test_a_key_that_was_drawn_elsewhere_is_kept_once(database):
    text = key_text("0a" * 8, "s" * 43)
    for scope in ("read", "admin"):  # the second time nothing changes
        assert database.keys.create("first", [scope], key=text) == ("0a" * 8, "s" * 43)
    (kept,) = database.keys.list()
    assert kept.matches("s" * 43) and kept.scopes == ("read",)
    with pytest.raises(RequestError, match="has another secret: draw a new one"):
        database.keys.create("first", ["read"], key=key_text("0a" * 8, "t" * 43))
    database.keys.revoke("0a" * 8)
    with pytest.raises(RequestError, match="has been revoked: draw a new one"):
        database.keys.create("first", ["read"], key=text)


@pytest.mark.parametrize(
    "text", ["", "secret", "rsk_1_" + "s" * 43, f"rsk_{'0a' * 8}_short", f"rsk_{'0a' * 8}_{'ß' * 43}"]
)
def test_a_drawn_key_that_could_be_guessed_is_refused(database, text):
    with pytest.raises(RequestError, match=r"^The key must read rsk_ID_SECRET"):
        database.keys.create("first", ["read"], key=text)
    assert database.keys.list() == []
