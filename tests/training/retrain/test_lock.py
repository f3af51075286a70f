"""One retraining at a time, and none that is dead stands in the way."""

import os
import signal
import subprocess
import sys

import pytest

from recsvc.errors import RunError
from training.retrain.lock import store_lock, work_lock

HOLD = """
import sys, time
from pathlib import Path
from training.retrain.lock import work_lock
with work_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_one_is_told_who_is_at_work(tmp_path):
    work = tmp_path / "a" / "work"
    with work_lock(work):
        with pytest.raises(
            RunError, match=rf"process {os.getpid()} on .*, since 20\d\d-\d\d-\d\dT.*\+00:00, "
        ) as error:
            work_lock(work).__enter__()
        assert "\n" not in str(error.value)
    with work_lock(work):
        pass


def test_a_holder_that_was_killed_holds_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"process {process.pid} "):
        work_lock(tmp_path).__enter__()
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    with work_lock(tmp_path):
        pass


def test_two_work_folders_of_one_store(tmp_path):
    with store_lock(tmp_path / "store"):
        with pytest.raises(RunError, match="another work folder"):
            store_lock(tmp_path / "store").__enter__()
        with store_lock(tmp_path / "other"):
            pass
    with store_lock(tmp_path / "store"):
        pass
    assert list((tmp_path / "store").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    for lock in (work_lock, store_lock):
        with pytest.raises(RunError, match="cannot be made"):
            lock(tmp_path / "file" / "work").__enter__()
