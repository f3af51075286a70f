"""However events are cut into batches, sent again and by whom: each counts once."""

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.events import Database

POSTER = Path(__file__).with_name("poster.py")
SENT = 3000


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=8), max_size=8))
def test_batches_with_duplicates_are_a_set(database, event, batches):
    """The model is a dictionary in which the first event of each id stays."""
    database.events.prune(event(minutes=10**6).time)  # of the example before
    model = {}
    for batch in batches:
        sent = [event(number, minutes=variant) for number, variant in batch]
        expected = []
        for each in sent:
            first = model.setdefault(each.event_id, each)
            expected.append(
                ("accepted", None) if first is each else ("duplicate", None if first == each else "differs")
            )
        assert [(outcome.status, outcome.reason) for outcome in database.events.add(sent)] == expected
    by_time = sorted(model.values(), key=lambda each: each.time)  # stable: dictionaries keep the order of arrival
    assert database.events.history("Ada") == [each.item_id for each in by_time]
    assert {stored.event for stored in database.events.timeline("Ada")} == set(model.values())


def test_two_processes_that_post_the_same_batch(empty_url, tmp_path):
    """Each in the other's opposite order, on a database without tables, so that they migrate at once as well."""
    go = tmp_path / "go"
    posters = [
        subprocess.Popen(
            [sys.executable, str(POSTER), empty_url, str(go), str(each)], stdout=subprocess.PIPE, text=True
        )
        for each in (1, -1)
    ]
    for poster in posters:
        assert poster.stdout.readline() == "ready\n"
    go.touch()
    found = [json.loads(poster.communicate(timeout=60)[0]) for poster in posters]
    assert [poster.returncode for poster in posters] == [0, 0]
    assert sum(each.get("accepted", 0) for each in found) == SENT
    assert sum(each.get("duplicate", 0) for each in found) == SENT * 3
    with Database.open(empty_url) as database:
        assert database.statistics().events == SENT
