"""What a worker runs for each kind of job, what the command line says, and what it weighs."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsvc.cli import run
from recsvc.errors import ConfigError
from recsvc.jobs import Activate, Increment, Job, Prune, RecommendAll, Retrain, Rollback
from recsvc.jobs.alive import touch
from recsvc.jobs.commands import commander, environment
from recsvc.jobs.output import Output
from recsvc.jobs.queue import JobQueue
from recsvc.jobs.settings import WorkerSettings, load_worker_settings


def job_of(parameters):
    return Job(
        *("9f1c2b7de0a4d613", 1, parameters.kind, parameters.model_dump(mode="json"), "running", "http key k1"),
        *(datetime.now(UTC), None, None, None, 1, 3, False, None, None, None, ()),
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            Retrain(),
            ["retrain", "/data", "--store={s}", "--work={s}/retrain", "--config=c.yaml", "--json=own/result.json"],
        ),
        (
            Retrain(cold=True, force="--store=/x"),
            [
                *("retrain", "/data", "--store={s}", "--work={s}/retrain", "--config=c.yaml", "--cold"),
                *("--force=--store=/x", "--json=own/result.json"),
            ],
        ),
        (Increment(), ["increment", "/data", "--store={s}", "--work={s}/retrain"]),
        (
            RecommendAll(k=5),
            ["recommend", "--all-users", "--k=5", "--out={s}/retrain/bulk/users.parquet", "--store={s}"],
        ),
        (
            RecommendAll(space="graph"),
            [
                "similar",
                "--all-items",
                "--space=graph",
                "--k=20",
                "--out={s}/retrain/bulk/items-graph.parquet",
                "--store={s}",
            ],
        ),
        (
            Activate(release="r1", reason="better"),
            ["releases", "activate", "r1", "--store={s}", "--reason=better [job 9f1c2b7de0a4d613 of http key k1]"],
        ),
        (
            Rollback(reason="--help"),
            ["releases", "rollback", "--store={s}", "--reason=--help [job 9f1c2b7de0a4d613 of http key k1]"],
        ),
    ],
)
def test_the_command_of_a_job(tmp_path, parameters, words):
    settings = WorkerSettings(store=tmp_path, dataset="/data", config="c.yaml", database="postgresql://u:planted@h/d")
    found = commander(settings)(job_of(parameters), Path("own"))
    assert found == [sys.executable, "-m", "recsvc.cli", *(word.format(s=tmp_path) for word in words)]


def test_pruning_counts_back_from_now(tmp_path):
    words = commander(WorkerSettings(store=tmp_path))(job_of(Prune(events_days=365)), Path("own"))[3:]
    assert words[:3] == ["events", "prune", f"--store={tmp_path}"]
    ages = [datetime.now(UTC) - datetime.fromisoformat(word.partition("=")[2]) for word in words[3:]]
    assert [age.days for age in ages] == [365, 90]


def test_secrets_go_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSVC_QUEUE", "redis://:planted@h")
    url = "postgresql+psycopg://u:planted@h/d"
    own = environment(WorkerSettings(store=tmp_path, database=url))
    assert own["RECSVC_DATABASE"] == url and "RECSVC_QUEUE" not in own
    (tmp_path / "file").write_text(url)
    monkeypatch.setenv("RECSVC_DATABASE_FILE", str(tmp_path / "file"))
    assert "RECSVC_DATABASE" not in environment(
        WorkerSettings(store=tmp_path, database=url)
    )  # it reads the file itself
    assert "planted" not in repr(WorkerSettings(store=tmp_path, database=url, queue="redis://:planted@h"))


def test_settings_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match="lease_seconds must exceed kill_seconds"):
        load_worker_settings(store=tmp_path, lease_seconds=10, kill_seconds=10)
    with pytest.raises(ConfigError, match="setting keep_days"):
        load_worker_settings(store=tmp_path, keep_days=0)
    for url in (
        "redis://:planted@h:port",
        "amqp://planted@h",
        "sqlite://",
        f"sqlite:///{tmp_path}/none/planted.sqlite",
    ):
        with pytest.raises(ConfigError, match="queue") as caught:
            JobQueue(url, "q", print)
        assert "planted" not in str(caught.value) or "sqlite" in url


def test_what_is_printed_is_bounded():
    output = Output(lambda text: text.replace("secret", "***"))
    for line in (
        b"a\r10%\r[1/3] reading secret\n",
        b"\xff\x00\x1b[31mred\n",
        b"\n",
        b"[1/3]\n",
        b"recsvc: no\n",
        b"after\n",
    ):
        output.add(line)
    assert output.progress.text == "reading ***"
    assert output.log == "[1/3] reading ***\n\N{REPLACEMENT CHARACTER}  [31mred\n[1/3]\nrecsvc: no\nafter"
    assert output.error == "no"
    for _ in range(1000):
        output.add(b"x" * 60_000)
    assert len(output.log) <= 200 * 501


def test_jobs_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RECSVC_STORE", str(tmp_path))

    def call(*words, code=0):
        assert run(["jobs", *words]) == code
        return capsys.readouterr()

    job_id = call("submit", "retrain", "cold=true", "force=no gate").out.strip()
    assert (
        call("submit", "retrain", code=2).err
        == f"recsvc: The retrain {job_id} is not finished: wait for it, or cancel it.\n"
    )
    assert "k: Input should be" in call("submit", "recommend_all", "k=1000", code=2).err
    assert "write NAME=VALUE" in call("submit", "recommend_all", "k", code=2).err
    listed = call("list").out
    assert listed.startswith(job_id) and "queued     retrain" in listed
    assert call("list", "--state", "failed").out == ""
    shown = call("show", job_id).out
    assert json.dumps({"cold": True, "force": "no gate"}) in shown and "asked for by  user " in shown
    call("cancel", job_id)
    assert "cannot be cancelled" in call("cancel", job_id, code=2).err
    assert call("retry", job_id).out.strip() == job_id
    assert "There is no job" in call("show", "0" * 16, code=2).err
    assert call("submit", "prune", "--key", "k").out == call("submit", "prune", "--key", "k").out


def test_the_check_of_a_worker(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RECSVC_STORE", str(tmp_path))
    assert run(["worker", "--check"]) == 2
    assert "set RECSVC_ALIVE_FILE" in capsys.readouterr().err
    alive = tmp_path / "alive"
    monkeypatch.setenv("RECSVC_ALIVE_FILE", str(alive))
    assert run(["worker", "--check"]) == 2
    touch(alive)
    assert run(["worker", "--check"]) == 0
    os.utime(alive, (time.time() - 60,) * 2)
    assert run(["worker", "--check"]) == 2
    (tmp_path / "link").symlink_to(alive)
    with pytest.raises(OSError, match="symbolic link"):
        touch(tmp_path / "link")
    assert run(["worker", "--schedule", "never"]) == 2


def test_asking_for_jobs_needs_no_queue_and_a_worker_no_torch():
    code = "import sys, {0}; print([m for m in ('huey', 'redis', 'torch', 'polars', 'numpy') if m in sys.modules])"
    for module, heavy in (("recsvc.jobs", []), ("recsvc.jobs.worker", ["huey", "redis"])):
        found = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True)
        assert found.stdout == f"{heavy}\n"
