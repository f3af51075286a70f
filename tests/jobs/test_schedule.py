"""When jobs begin by themselves."""

from datetime import UTC, datetime, timedelta

import pytest

from recsvc.errors import ConfigError
from recsvc.jobs import Retrain
from recsvc.jobs.schedule import parse_schedule
from recsvc.jobs.settings import WorkerSettings
from recsvc.jobs.worker import Worker

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)  # a Sunday
HOUR = timedelta(hours=1)


def minutes(text, since=NOON - HOUR, until=NOON):
    """What is due, as texts, of a schedule."""
    found = ((entry.parameters.kind, entry.newest(since, until)) for entry in parse_schedule(text))
    return {kind: None if minute is None else f"{minute:%H:%M}" for kind, minute in found}


def test_the_newest_minute_that_is_due():
    text = "retrain=0 3 * * *; increment=*/10 * * * *;prune = 30 11 * * 0 ; recommend_all=59 11 * * 1-6;"
    found = {"retrain": None, "increment": "12:00", "prune": "11:30", "recommend_all": None}
    assert minutes(text) == found
    assert minutes("prune=30 11 * * 7") == {"prune": "11:30"}
    assert minutes("increment=*/10 * * * *", since=NOON.replace(second=0)) == {"increment": None}
    assert minutes("increment=1,5-7 11 1 3 *") == {"increment": "11:07"}
    assert parse_schedule("") == parse_schedule(" ; ") == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("retrain", "has 'retrain': write KIND=MINUTE HOUR DAY MONTH WEEKDAY"),
        ("retrain=0 3 * *", "has 'retrain=0 3 [*] [*]': write"),
        ("retrain=@daily", "write KIND="),
        ("train=0 3 * * *", "names 'train', which is no kind of job: give one of retrain, increment"),
        ("activate=0 3 * * *", "names activate, which needs parameters"),
        ("retrain=60 3 * * *", "retrain has '60' for the minute: write [*], numbers"),
        ("retrain=0 24 * * *", "has '24' for the hour"),
        ("retrain=0 3 0 * *", "has '0' for the day of the month"),
        ("retrain=0 3 * JAN *", "has 'JAN' for the month"),
        ("retrain=0 3 * * MON", "has 'MON' for the day of the week"),
        ("retrain=*/0 3 * * *", "has '[*]/0' for the minute"),
        ("retrain=0,x 3 * * *", "has '0,x' for the minute"),
        ("retrain=0 3 1 * 1", "days of the month and of the week"),
        ("retrain=0 3 * * *; retrain=0 4 * * *", "names retrain twice"),
    ],
)
def test_an_expression_that_cannot_be_used_is_named(text, wrong):
    with pytest.raises(ConfigError, match=wrong) as caught:
        parse_schedule(text)
    assert "\n" not in str(caught.value)


@pytest.fixture
def scheduler(tmp_path, empty_url, store):
    """Makes processes that run the schedule and no jobs."""
    made = []

    def make(schedule="retrain=* * * * *; prune=* * * * *"):
        worker = Worker(WorkerSettings(store=tmp_path, database=empty_url, schedule=schedule), "only")
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.stop()
        worker.run()  # ends at once, and closes what it has opened


def test_several_schedulers_make_one_job_a_minute(scheduler, store):
    for _ in range(2):
        for one in (scheduler(), scheduler()):
            one._tick()
    found = store.list(99)
    assert sorted(job.kind for job in found if job.due == found[0].due) == ["prune", "retrain"]
    assert {job.requested_by for job in found} == {"schedule"}
    assert len({(job.kind, job.due) for job in found}) == len(found)


def test_what_is_live_is_not_begun_again(scheduler, store):
    job = store.submit(Retrain(), requested_by="a").job
    scheduler("retrain=* * * * *")._tick()
    assert [each.id for each in store.list(99)] == [job.id]
    store.cancel(job.id)
    scheduler("retrain=* * * * *")._tick()
    assert len(store.list(99)) == 2


def test_what_the_database_has_not_heard_is_tried_again(scheduler, store, monkeypatch):
    from recsvc.errors import DatabaseError

    one = scheduler("prune=* * * * *")
    with monkeypatch.context() as patch:
        patch.setattr(one._store, "submit", lambda *_, **__: (_ for _ in ()).throw(DatabaseError("It is away.")))
        one._tick()
    assert store.list(9) == []
    one._tick()
    assert [job.kind for job in store.list(9)] == ["prune"]


def test_a_scheduler_without_a_schedule_says_so(scheduler):
    with pytest.raises(ConfigError, match="There is nothing to do: set RECSVC_SCHEDULE"):
        scheduler("")
