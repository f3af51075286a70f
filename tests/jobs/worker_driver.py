"""A worker in a process of its own whose jobs are `fake_job.py`: STORE DATABASE QUEUE FOLDER."""

import logging
import sys
from pathlib import Path

from recsvc.jobs.settings import WorkerSettings
from recsvc.jobs.worker import Worker

FAKE = str(Path(__file__).with_name("fake_job.py"))


def command(folder):
    """Jobs whose reason is the word that they do."""

    def make(job, own):
        word = job.parameters.get("reason") or job.parameters.get("force") or "succeed"
        return [sys.executable, "-S", FAKE, word, job.id, str(folder), str(own)]

    return make


def settings(store, database, queue, **changes):
    """Settings with which nothing takes long."""
    quick = {"poll_seconds": 0.05, "kill_seconds": 0.5, "finish_seconds": 0.0, "lease_seconds": 5.6}
    return WorkerSettings(store=store, database=database, queue=queue, **(quick | changes))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    store, database, queue, folder = sys.argv[1:]
    Worker(settings(Path(store), database, queue or None), command=command(folder)).run()
