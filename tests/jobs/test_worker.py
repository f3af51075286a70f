"""The worker: on SQLite and PostgreSQL, with its queue in a file and in Redis, killed and doubled."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from huey import Huey
from huey.storage import RedisStorage, SqliteStorage

from recsvc.events import Database
from recsvc.jobs import JobStore, Progress, RecommendAll, Retrain, Rollback
from recsvc.jobs.rows import database_name
from recsvc.jobs.worker import Worker

HERE = Path(__file__).parent
REDIS = os.environ.get("RECSVC_TEST_REDIS", "redis://127.0.0.1:6379/13")
HOOK = """
import os, sys

def refuse(event, args):
    if event == "pickle.find_class":
        os.write(1, b"UNPICKLED")
        os._exit(66)

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="session")
def driver():
    """Tests are no package, so what they share is loaded by its path."""
    spec = importlib.util.spec_from_file_location("recsvc_tests_worker_driver", HERE / "worker_driver.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def redis_url():
    """A Redis, or a skip with the reason; queues are named after their database, so nothing of others is touched."""
    redis = pytest.importorskip("redis")
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping()
    except redis.exceptions.RedisError as error:
        pytest.skip(f"no Redis answers ({error}); set RECSVC_TEST_REDIS to a URL")
    return REDIS


@pytest.fixture(params=["file", "redis"])
def queue(request):
    """The URL of a queue; None: the file in the store."""
    return None if request.param == "file" else request.getfixturevalue("redis_url")


@pytest.fixture
def working(driver, tmp_path, empty_url, store):
    """``with working(queue):`` a worker in a thread, whose fake jobs note in ``tmp_path`` that they have begun."""

    @contextmanager
    def work(queue=None, **changes):
        worker = Worker(driver.settings(tmp_path, empty_url, queue, **changes), command=driver.command(tmp_path))
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(30)
            assert not thread.is_alive()

    return work


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def ended(store, job_id, seconds=60):
    return until(lambda: (job := store.find(job_id)) and not job.is_live and job, seconds)


def begun(folder, job_id):
    """Process ids of the attempts of a job."""
    path = folder / f"{job_id}.begun"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_jobs_run_to_their_ends(working, store, tmp_path, queue):
    words = {"succeed": "succeeded", "fail": "failed", "crash": "failed"}
    ids = {word: store.submit(Rollback(reason=word), requested_by="a").job.id for word in words}
    with working(queue):
        found = {word: ended(store, job_id) for word, job_id in ids.items()}
    assert {word: job.state for word, job in found.items()} == words
    assert all(len(begun(tmp_path, job_id)) == 1 for job_id in ids.values())
    assert (found["succeed"].progress, found["succeed"].error) == (Progress(2, 2, "done"), None)
    assert found["succeed"].log == ("[1/2] at work", "[2/2] done")
    assert found["fail"].error == "The data are no good: mend them."
    assert found["fail"].log[0] == "[1/2] at work"
    assert found["crash"].error == "[1/2] at work"


def test_what_a_job_says_is_bounded_and_tells_no_secret(driver, tmp_path, postgres_schemas):
    url = postgres_schemas().replace("postgres@", "postgres:planted-secret@")
    with Database.open(url) as database:
        store = JobStore(database)
        job_id = store.submit(Retrain(force="tell"), requested_by="a").job.id
        worker = Worker(driver.settings(tmp_path, url, None), command=driver.command(tmp_path))
        thread = threading.Thread(target=worker.run)
        thread.start()
        job = ended(store, job_id)
        worker.stop()
        thread.join(30)
        assert job.state == "succeeded"
        assert len(job.log) == 200 and job.log[-1] == "[2/2] done" and "planted-secret" not in str(job)
        assert job.result == {"decision": "published", "release": "r1"}


def test_a_cancelled_job_and_all_that_it_has_started_are_ended(working, store, tmp_path):
    with working():
        job_id = store.submit(Retrain(force="stubborn"), requested_by="a").job.id
        child = int(until(lambda: (path := tmp_path / f"{job_id}.child").exists() and path.read_text()))
        assert until(lambda: store.find(job_id).progress) == Progress(1, 2, "at work")
        store.cancel(job_id)
        assert ended(store, job_id).state == "cancelled"
    assert is_gone(child) and all(map(is_gone, begun(tmp_path, job_id)))


def test_a_long_job_holds_up_no_short_one_and_only_those_of_its_lane(working, store, tmp_path):
    with working():
        long = store.submit(Retrain(force="sleep"), requested_by="a").job.id
        until(lambda: begun(tmp_path, long))
        behind = store.submit(RecommendAll(), requested_by="a").job.id
        assert ended(store, store.submit(Rollback(reason="succeed"), requested_by="a").job.id).state == "succeeded"
        assert not begun(tmp_path, behind)
        store.cancel(long)
        assert ended(store, behind).state == "succeeded"


def test_a_job_that_takes_too_long_fails(working, store):
    with working(light_seconds=0.3):
        job = ended(store, store.submit(Rollback(reason="sleep"), requested_by="a").job.id)
    assert (job.state, job.error) == ("failed", "It was stopped after 0.3 seconds, the longest that it may take.")


def test_a_worker_that_is_stopped_gives_its_job_back(working, store, tmp_path):
    job_id = store.submit(Retrain(force="sleep"), requested_by="a").job.id
    with working():
        until(lambda: begun(tmp_path, job_id))
    job = store.find(job_id)
    assert (job.state, job.attempt) == ("queued", 0)
    assert all(map(is_gone, begun(tmp_path, job_id)))


def test_a_message_that_is_lost_is_sent_again(working, store, database, tmp_path):
    from recsvc.jobs.claims import Claims

    job_id = store.submit(Rollback(reason="succeed"), requested_by="a").job.id
    assert Claims(database, "one that dies before it has sent it").deliverable() == [job_id]
    with working(redelivery_seconds=0.3):
        assert ended(store, job_id).state == "succeeded"
    assert len(begun(tmp_path, job_id)) == 1


def test_of_two_workers_one_runs_a_job(working, store, tmp_path, queue):
    with working(queue, redelivery_seconds=0.05), working(queue, redelivery_seconds=0.05):
        ids = [store.submit(Rollback(reason="succeed"), requested_by="a").job.id for _ in range(4)]
        assert {ended(store, job_id).state for job_id in ids} == {"succeeded"}
    assert [len(begun(tmp_path, job_id)) for job_id in ids] == [1] * 4


def test_a_killed_worker_takes_its_job_with_it_and_another_does_it(working, store, tmp_path, empty_url):
    job_id = store.submit(Retrain(force="stubborn"), requested_by="a").job.id
    command = [sys.executable, HERE / "worker_driver.py", tmp_path, empty_url, "", tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = int(until(lambda: (path := tmp_path / f"{job_id}.child").exists() and path.read_text()))
    process.kill()
    process.wait(10)
    until(lambda: is_gone(child) and all(map(is_gone, begun(tmp_path, job_id))), 10)
    assert store.find(job_id).state == "running"  # as far as anybody knows
    with working():
        until(lambda: len(begun(tmp_path, job_id)) == 2)
        store.cancel(job_id)
        job = ended(store, job_id)
    assert (job.state, job.attempt) == ("cancelled", 2)


def test_nothing_is_unpickled_whatever_is_in_the_queue(tmp_path, queue):
    """And what is none of ours keeps nobody from working."""
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    with Database.open(url) as database:
        name, store = database_name(database.connections), JobStore(database)
        options = {"storage_class": SqliteStorage, "filename": str(tmp_path / "jobs.sqlite")}
        evil = Huey(name, **(options if queue is None else {"storage_class": RedisStorage, "url": queue}))
        for content in (b"cbuiltins\nlen\n.", b"[1]", b'{"message": 1}', b"\xff", b"[" * 100_000):
            evil.storage.enqueue(content)
        job_id = store.submit(Rollback(reason="succeed"), requested_by="a").job.id
        arguments = [str(HERE / "worker_driver.py"), str(tmp_path), url, queue or "", str(tmp_path)]
        code = f"{HOOK}\nimport runpy\nsys.argv = {arguments!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            assert ended(store, job_id).state == "succeeded"
            until(lambda: len(evil) == 0)
        finally:
            process.send_signal(signal.SIGTERM)
            printed = process.communicate(timeout=30)[0].decode()
            evil.storage.close()
    assert process.returncode == 0, printed
    assert "UNPICKLED" not in printed and "none of ours" in printed and "has stopped" in printed


def test_the_hook_bites():
    code = f"{HOOK}\nimport pickle; pickle.loads(pickle.dumps(len))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 66
