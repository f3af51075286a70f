"""Jobs as those see them who ask for them."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recsvc.errors import JobError
from recsvc.jobs import (
    Activate,
    Increment,
    JobStore,
    LiveJobError,
    Progress,
    Prune,
    RecommendAll,
    Retrain,
    ReusedKeyError,
    Rollback,
    parse_parameters,
)
from recsvc.jobs.claims import Claims

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_job_is_kept_as_it_was_asked_for(store):
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = store.submit(Activate(release="r1", reason="better: ünï"), requested_by="http key k1")
    assert made.is_new
    job = store.find(made.job.id)
    assert job == made.job
    assert (job.kind, job.parameters) == ("activate", {"release": "r1", "reason": "better: ünï"})
    assert (job.state, job.requested_by, job.attempt, job.attempts) == ("queued", "http key k1", 0, 3)
    assert before < job.created < datetime.now(UTC)
    assert (job.due, job.started, job.finished, job.progress, job.error, job.result, job.log) == (*(None,) * 6, ())
    assert store.find("no such job") is None and store.find("\0") is None


def test_only_one_retraining_is_live_and_any_number_of_others(store):
    first = store.submit(Retrain(), requested_by="a").job
    with pytest.raises(LiveJobError, match=f"The retrain {first.id} is not finished") as caught:
        store.submit(Retrain(cold=True), requested_by="b")
    assert caught.value.job_id == first.id
    store.submit(Increment(), requested_by="a")
    assert len({store.submit(Rollback(), requested_by="a").job.id for _ in range(3)}) == 3
    store.cancel(first.id)
    assert store.submit(Retrain(cold=True), requested_by="b").is_new


def test_a_key_makes_one_job(store):
    made = [store.submit(RecommendAll(k=5), requested_by="a", idempotency_key="mine") for _ in range(3)]
    assert [each.is_new for each in made] == [True, False, False]
    assert len({each.job.id for each in made}) == 1
    with pytest.raises(ReusedKeyError, match=made[0].job.id):
        store.submit(RecommendAll(k=6), requested_by="a", idempotency_key="mine")
    assert store.submit(RecommendAll(k=6), requested_by="b", idempotency_key="mine").is_new  # somebody else's key
    for bad in ("", "\0", "x" * 300):
        with pytest.raises(JobError, match="The idempotency key"):
            store.submit(RecommendAll(), requested_by="a", idempotency_key=bad)


def test_a_key_counts_after_its_job_is_done(store):
    first = store.submit(Retrain(), requested_by="a", idempotency_key="tonight").job
    store.cancel(first.id)
    again = store.submit(Retrain(), requested_by="a", idempotency_key="tonight")
    assert (again.is_new, again.job.id, again.job.state) == (False, first.id, "cancelled")


def test_a_minute_of_the_schedule_makes_one_job(store):
    made = [store.submit(Prune(), requested_by="schedule", due=NOON) for _ in range(2)]
    assert [each.is_new for each in made] == [True, False]
    assert made[0].job.due == NOON
    assert store.submit(Prune(), requested_by="schedule", due=NOON + timedelta(minutes=1)).is_new


def test_many_who_ask_at_once_make_one(store):
    barrier, made, refused = threading.Barrier(8), [], []

    def ask():
        barrier.wait()
        try:
            made.append(store.submit(Retrain(), requested_by="a").job.id)
        except LiveJobError as error:
            refused.append(error.job_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert refused == made * 7


def test_the_list_is_newest_first_and_goes_on_where_it_ended(store):
    made = [store.submit(Rollback(), requested_by="a").job for _ in range(5)]
    store.cancel(made[1].id)
    first = store.list(2)
    assert [job.id for job in first] == [made[4].id, made[3].id]
    rest = store.list(9, before=first[-1].sequence)
    assert [job.id for job in rest] == [made[2].id, made[1].id, made[0].id]
    assert [job.id for job in store.list(9, states=["cancelled"])] == [made[1].id]


def test_the_list_has_no_logs(store, database):
    claims = Claims(database, "w")
    claimed = claims.claim(store.submit(Rollback(), requested_by="a").job.id)
    claims.beat(claimed, Progress(1, 2, "at work"), "one\ntwo")
    found = store.find(claimed.id)
    assert (found.log, store.list(9)) == (("one", "two"), [replace(found, log=())])


def test_what_has_ended_cannot_be_cancelled_and_what_has_not_failed_not_tried_again(store, database):
    job = store.submit(Retrain(), requested_by="a").job
    with pytest.raises(JobError, match=f"The job {job.id} cannot be tried again: it waits in the queue"):
        store.retry(job.id)
    assert store.cancel(job.id).state == "cancelled"
    with pytest.raises(JobError, match="cannot be cancelled: it was cancelled"):
        store.cancel(job.id)
    for change in (store.cancel, store.retry):
        for unknown in ("0" * 16, "\0"):
            with pytest.raises(JobError, match="There is no job"):
                change(unknown)
    again = store.retry(job.id)
    assert (again.state, again.finished, again.attempt) == ("queued", None, 0)
    store.cancel(job.id)
    other = store.submit(Retrain(), requested_by="a").job
    with pytest.raises(LiveJobError) as caught:
        store.retry(job.id)
    assert caught.value.job_id == other.id
    claims = Claims(database, "w")
    claimed = claims.claim(other.id)
    running = store.cancel(other.id)
    assert (running.state, running.cancelling) == ("running", True)
    assert claims.finish(claimed, "cancelled", progress=None, log="a\nb")
    assert store.find(other.id).log == ("a", "b")


def test_figures_and_deletion(store, database):
    claims = Claims(database, "w")
    for outcome in ("succeeded", "failed"):
        job = claims.claim(store.submit(Prune(), requested_by="a").job.id)
        assert claims.finish(job, outcome, progress=None, log="")
    store.submit(Prune(), requested_by="a")
    figures = store.figures()
    assert figures.counts == {("prune", "succeeded"): 1, ("prune", "failed"): 1, ("prune", "queued"): 1}
    assert figures.successes["prune"].seconds >= 0
    assert abs(datetime.now(UTC) - figures.successes["prune"].finished) < timedelta(minutes=1)
    assert figures.newest_event is None
    assert store.prune(timedelta(days=1)) == 0
    assert store.prune(timedelta(seconds=-60)) == 2
    assert [job.state for job in store.list(9)] == ["queued"]


@pytest.mark.parametrize(
    ("kind", "parameters", "wrong"),
    [
        ("train", {}, "no kind of job 'train': give one of retrain, increment"),
        ("retrain", {"dataset": "/etc"}, "retrain cannot be used: dataset: Extra inputs"),
        ("retrain", {"cold": 1}, "cold: Input should be a valid boolean"),
        ("retrain", {"force": "two\nlines"}, "force: a reason is one line"),
        ("increment", {"config": "x.yaml"}, "config: Extra inputs"),
        ("recommend_all", {"k": 101}, "k: Input should be less than"),
        ("recommend_all", {"space": "../x"}, "space: String should match"),
        ("recommend_all", {"out": "/tmp/x"}, "out: Extra inputs"),
        ("activate", {}, "release: Field required"),
        ("activate", {"release": "--store=/x"}, "release: String should match"),
        ("prune", {"answers_days": None}, "nothing to delete"),
        ("prune", {"events_days": 0}, "events_days: Input should be greater"),
    ],
)
def test_parameters_are_closed(kind, parameters, wrong):
    with pytest.raises(JobError, match=wrong):
        parse_parameters(kind, parameters)


def test_jobs_of_one_database_are_seen_from_another_connection(store, empty_url):
    from recsvc.events import Database

    job = store.submit(Increment(), requested_by="a").job
    with Database.open(empty_url) as other:
        assert JobStore(other).find(job.id) == job
