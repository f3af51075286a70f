"""A job from a request to a release that answers: service, worker and the real commands, each a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from recsvc.client import Client, Event, ServiceError
from recsvc.releases import Store

SETTINGS = {
    "runtime": {"threads": 1},
    "split": {"validation_users": 40},
    "sequence": {
        "model": {"dim": 16, "max_length": 8},
        "loop": {"epochs": 4, "evaluate_every": 2, "warmup_steps": 5},
        "rows": {"tokens_per_batch": 400},
    },
}


@pytest.fixture
def worker(cycle_dataset, tmp_path: Path):
    """A real `recsvc worker` on a store without a release; gives the store."""
    store, config = tmp_path / "store", tmp_path / "config.yaml"
    store.mkdir()
    config.write_text(yaml.safe_dump(SETTINGS))
    own = {name: value for name, value in os.environ.items() if not name.startswith("RECSVC_")}
    own |= {"RECSVC_DATASET": str(cycle_dataset), "RECSVC_CONFIG": str(config), "RECSVC_POLL_SECONDS": "0.1"}
    command = [sys.executable, "-m", "recsvc.cli", "worker", "--store", str(store)]
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=own | {"OMP_NUM_THREADS": "1"}, stdout=file, stderr=file)
    yield store
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_retraining_that_was_asked_for_over_http_is_served(worker: Path, serve) -> None:
    store = Store(worker)
    with serve(worker) as service, Client(service.url, timeout=60) as client:

        def done(job):
            deadline = time.monotonic() + 300
            while (found := client.job(job.id)).state in ("queued", "running"):
                assert time.monotonic() < deadline, found
                time.sleep(0.2)
            return found

        first = done(client.submit_job("retrain"))
        assert first.state == "succeeded", first
        assert first.result["decision"] == "published" and first.progress.done == first.progress.total
        assert [active.id for active in store.current()] == [first.result["release"]]
        client.send_events([Event(user_id="Ada", item_id="item/3"), Event(user_id="Ada", item_id="item/4")])
        bulk = done(client.submit_job("recommend_all", {"k": 3}))
        assert bulk.state == "succeeded", bulk
        assert pq.read_table(worker / "retrain" / "bulk" / "users.parquet").num_rows == 3
        back = done(client.submit_job("rollback"))
        assert back.state == "failed" and "no earlier release" in back.error
        active = done(client.submit_job("activate", {"release": first.result["release"], "reason": "as it was"}))
        assert active.state == "succeeded"
        pruned = done(client.submit_job("prune", {"answers_days": 1}))
        assert pruned.state == "succeeded" and any("answers deleted" in line for line in pruned.log), pruned
        with pytest.raises(ServiceError, match="cannot be tried again"):
            client.retry_job(pruned.id)
        service.wait_ready(first.result["release"])
        assert len(client.recommend(["item/3", "item/4"], k=3).items) == 3
