"""The benchmark of a database that is restarted under load, in small: no acknowledged event is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_no_acknowledged_event_is_missing_after_restarts() -> None:
    if shutil.which("initdb") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL server is installed here")
    command = [sys.executable, BENCHMARKS / "database_restart.py", "--seconds", "2", "--clients", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| acknowledged events that are missing | 0 |" in done.stdout
    assert "503" in done.stdout  # it was away indeed
