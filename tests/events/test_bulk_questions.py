"""What a snapshot asks about many at once: which events are here already, and who has been forgotten."""

from datetime import timedelta

from recsvc.events import Event


def test_known_events(database, noon):
    database.events.add([Event(f"e{number}", "Ada", "item", noon) for number in range(1500)])
    asked = [*(f"e{number}" for number in range(1000, 2500)), "\0", "\ud800", ""]
    assert database.events.known(asked) == {f"e{number}" for number in range(1000, 1500)}
    assert database.events.known([]) == set()


def test_forgotten_people(database, noon):
    assert database.events.forgotten(["Ada", "Bob"]) == {}
    database.events.forget("Ada", now=noon)
    database.events.forget("user 1200", now=noon + timedelta(hours=1))
    everybody = ["Ada", "Bob", "\0", *(f"user {number}" for number in range(1500))]
    milliseconds = round(noon.timestamp() * 1000)
    assert database.events.forgotten(everybody) == {"Ada": milliseconds, "user 1200": milliseconds + 3_600_000}
