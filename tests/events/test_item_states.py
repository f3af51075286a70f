"""Item states: what is out of stock or expired, when that changes next, and a version that says that it changed."""

from datetime import datetime, timedelta

import pytest

from recsvc.errors import RequestError
from recsvc.events import ItemState


def test_nothing_is_blocked_at_first(database):
    assert database.states.version() == 0
    assert database.states.blocked() == (frozenset(), None)


def test_stock_and_expiry(database, noon):
    hour = timedelta(hours=1)
    states = [
        ItemState("sold out", available=False),
        ItemState("expired", expires=noon - hour),
        ItemState("expires now", expires=noon),
        ItemState("expires soon", expires=noon + hour),
        ItemState("expires later", expires=noon + 2 * hour),
        ItemState("sold out and expires first", available=False, expires=noon + hour / 2),
        ItemState("plain"),
    ]
    assert database.states.set(states) == 1
    blocked = {"sold out", "expired", "expires now", "sold out and expires first"}
    assert database.states.blocked(noon) == (blocked, noon + hour)
    assert database.states.blocked(noon + hour) == (blocked | {"expires soon"}, noon + 2 * hour)
    assert database.states.blocked(noon + 2 * hour)[1] is None


def test_a_state_replaces_the_one_before(database, noon):
    database.states.set([ItemState("a", available=False), ItemState("b", available=False)])
    version = database.states.set([ItemState("a"), ItemState("b", expires=noon)])
    assert version == database.states.version() == 2
    assert database.states.blocked(noon - timedelta(seconds=1)) == (frozenset(), noon)
    database.states.set([ItemState("c"), ItemState("c", available=False), ItemState("b", False), ItemState("b")])
    assert database.states.blocked(noon) == ({"c"}, None)


def test_the_state_of_one_item(database, noon):
    states = [ItemState("sold out", available=False), ItemState("expires", expires=noon), ItemState("plain")]
    database.states.set(states)
    assert [database.states.find(state.item_id) for state in states] == states
    assert database.states.find("unheard of") == ItemState("unheard of")


def test_thousands_at_once(database):
    states = [ItemState(f"item {i}", available=False) for i in range(2500)]
    database.states.set(states)
    assert len(database.states.blocked()[0]) == 2500
    database.states.set([ItemState(state.item_id) for state in states])
    assert database.states.blocked() == (frozenset(), None)


@pytest.mark.parametrize(
    "state", [ItemState(""), ItemState("\0"), ItemState("x" * 513), ItemState("x", expires=datetime(2026, 1, 1))]
)
def test_a_bad_state_sets_nothing(database, state):
    with pytest.raises(RequestError, match=r"item id .*\.|has no time zone\."):
        database.states.set([ItemState("good", available=False), state])
    assert database.states.version() == 0
    assert database.states.blocked() == (frozenset(), None)
