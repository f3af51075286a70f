"""Jobs as workers see them."""

import threading

import pytest

from recsvc.events import Database
from recsvc.jobs import Activate, Increment, Progress, RecommendAll, Retrain, Rollback
from recsvc.jobs.claims import Claims, Waits


@pytest.fixture
def worker(database):
    """Makes a worker's view; of those with ``lease`` -1, every one that is silent is dead."""

    def make(name="w", **waits) -> Claims:
        return Claims(database, name, Waits(**waits))

    return make


def test_the_oldest_of_each_lane_is_delivered_once(store, worker):
    retrain = store.submit(Retrain(), requested_by="a").job
    store.submit(Increment(), requested_by="a")
    rollback = store.submit(Rollback(), requested_by="a").job
    store.submit(Activate(release="r"), requested_by="a")
    assert sorted(worker().deliverable()) == sorted([retrain.id, rollback.id])
    assert worker().deliverable() == []
    assert sorted(worker(redelivery=-1).deliverable()) == sorted([retrain.id, rollback.id])  # messages were lost


def test_nothing_is_delivered_into_a_lane_that_is_busy(store, worker):
    claims = worker()
    retrain = store.submit(Retrain(), requested_by="a").job
    increment = store.submit(Increment(), requested_by="a").job
    job = claims.claim(retrain.id)
    assert (job.state, job.attempt) == ("running", 1)
    assert claims.deliverable() == []
    assert claims.claim(increment.id) is None
    assert claims.finish(job, "succeeded", progress=Progress(9, 9, "done"), log="x", result={"release": "r"})
    assert claims.deliverable() == [increment.id]
    ended = store.find(retrain.id)
    assert (ended.state, ended.progress, ended.result) == ("succeeded", Progress(9, 9, "done"), {"release": "r"})
    assert ended.finished >= ended.started


def test_a_job_is_claimed_by_one(store, worker):
    ids = [store.submit(RecommendAll(), requested_by="a").job.id for _ in range(2)]
    barrier, won = threading.Barrier(8), []

    def claim(number):
        barrier.wait()
        if worker(f"w{number}").claim(ids[number % 2]) is not None:
            won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1  # of two jobs in one lane, and eight workers


def test_what_is_cancelled_or_gone_is_not_claimed(store, worker):
    job = store.submit(Retrain(), requested_by="a").job
    store.cancel(job.id)
    assert worker().claim(job.id) is None and worker().claim("0" * 16) is None
    assert worker().deliverable() == []


def test_a_beat_tells_what_to_do(store, worker):
    mine = worker("mine")
    job = mine.claim(store.submit(Retrain(), requested_by="a").job.id)
    assert mine.beat(job, Progress(1, 9, "training"), "one\ntwo") == "go on"
    seen = store.find(job.id)
    assert (seen.progress, seen.log) == (Progress(1, 9, "training"), ("one", "two"))
    store.cancel(job.id)
    assert mine.beat(job, None, "") == "cancel"
    assert worker("other").beat(job, None, "") == "lost"
    assert not worker("other").finish(job, "failed", progress=None, log="")
    assert mine.finish(job, "cancelled", progress=None, log="")
    assert mine.beat(job, None, "") == "lost"


def test_a_job_of_a_dead_worker_waits_again_until_it_has_begun_too_often(store, worker):
    job_id = store.submit(Retrain(), requested_by="a").job.id
    for attempt in (1, 2, 3):
        dead = worker(f"dead {attempt}")
        job = dead.claim(job_id)
        assert job.attempt == attempt
        assert worker().sweep() == []  # it has just been heard of
        (swept,) = worker(lease=-1).sweep()
        assert swept.id == job_id
        assert dead.beat(job, None, "") == "lost"
    assert store.find(job_id).state == "failed"
    assert "worker has died" in store.find(job_id).error
    assert store.retry(job_id).attempt == 0


def test_one_that_was_to_be_cancelled_does_not_begin_again(store, worker):
    job = worker("dead").claim(store.submit(Retrain(), requested_by="a").job.id)
    store.cancel(job.id)
    worker(lease=-1).sweep()
    assert store.find(job.id).state == "cancelled"


def test_what_is_given_back_has_not_begun(store, worker):
    claims = worker()
    job = claims.claim(store.submit(Retrain(), requested_by="a").job.id)
    assert claims.give_back(job, "so far")
    waiting = store.find(job.id)
    assert (waiting.state, waiting.attempt, waiting.log) == ("queued", 0, ("so far",))
    assert claims.deliverable() == [job.id]
    job = claims.claim(job.id)
    store.cancel(job.id)
    assert claims.give_back(job, "")
    assert store.find(job.id).state == "cancelled"


def test_the_clock_of_postgresql_is_the_servers(postgres_schemas, monkeypatch):
    """A worker whose own clock is a day behind is not taken for dead."""
    from recsvc.jobs import JobStore

    with Database.open(postgres_schemas()) as database:
        monkeypatch.setattr("recsvc.jobs.rows.current", lambda: 0)
        job = Claims(database, "w").claim(JobStore(database).submit(Retrain(), requested_by="a").job.id)
        assert Claims(database, "other").sweep() == []
        assert job.started.year > 2000
