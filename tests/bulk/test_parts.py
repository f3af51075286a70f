"""Killed and run again, an answer to everybody goes on; of another release or question it begins anew."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsvc.answers import Question
from recsvc.bulk import DatabaseHistories, recommend_all
from recsvc.bulk import command as bulk_command
from recsvc.bulk.parts import open_parts
from recsvc.errors import RequestError
from recsvc.releases import folder_lock

KILLED = """
import os, signal, sys
from recsvc.answers import Question
from recsvc.answers.bundle import open_bundle
from recsvc.bulk import DatabaseHistories, command, recommend_all
from recsvc.events import Database
from pathlib import Path

folder, release, url, out, parts = sys.argv[1:]
command.USERS_AT_ONCE = 5
bundle = open_bundle(Path(folder), release)
source = DatabaseHistories(Database.open(url), bundle.catalogue)

def kill(done, total):
    if done >= 5 * int(parts):
        os.kill(os.getpid(), signal.SIGKILL)

recommend_all(bundle, source, Question(k=6), Path(out), threads=1, progress=kill)
"""


class StoppedError(Exception):
    pass


@pytest.fixture
def ask(bundle, filled, tmp_path, monkeypatch):
    """Answers everybody, five at a time, and stops after some parts."""
    monkeypatch.setattr(bulk_command, "USERS_AT_ONCE", 5)

    def call(*, k=6, stop_after=None, out=tmp_path / "recs.parquet", bundle=bundle, blocked=()):
        def told(done, total):
            if stop_after is not None and done >= 5 * stop_after:
                raise StoppedError

        source = DatabaseHistories(filled, bundle.catalogue)
        return recommend_all(bundle, source, Question(k=k), out, threads=1, blocked=blocked, progress=told)

    return call


def test_a_kill_loses_at_most_a_part(bundle, store, filled, people, ask, tmp_path) -> None:
    ask(out=tmp_path / "at once.parquet")
    out = tmp_path / "recs.parquet"
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    arguments = [str(store.path_of(bundle.release)), bundle.release, url, str(out)]
    for parts in ("1", "3"):
        killed = subprocess.run([sys.executable, "-c", KILLED, *arguments, parts], check=False, env={**os.environ})
        assert killed.returncode == -signal.SIGKILL and not out.exists()
        assert len(list((tmp_path / "recs.parquet.parts").glob("part-*.parquet"))) == int(parts)
    done = ask()
    assert (done.resumed, done.answered, done.anew) == (15, len(people), None)
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "at once.parquet"))
    assert not (tmp_path / "recs.parquet.parts").exists()


@pytest.mark.parametrize("change", ["release", "question", "blocked"])
def test_whatever_decides_the_answers_begins_anew(bundle, people, ask, tmp_path, change) -> None:
    with pytest.raises(StoppedError):
        ask(stop_after=2)
    other = {
        "release": {"bundle": dataclasses.replace(bundle, release="20260101T000000-0123456789ab")},
        "question": {"k": 3},
        "blocked": {"blocked": ["661"]},
    }[change]
    done = ask(**other)
    assert (done.resumed, done.answered, done.anew) == (0, len(people), change)


def test_parts_of_which_a_kill_has_left_some_are_not_gone_on_with(ask, tmp_path, monkeypatch) -> None:
    ask(out=tmp_path / "at once.parquet")
    folder, unlink = tmp_path / "recs.parquet.parts", Path.unlink
    for deletions in range(4):  # the facts and three parts are to be deleted
        with pytest.raises(StoppedError):
            ask(stop_after=3)
        kept = len(list(folder.iterdir())) - deletions

        def unlink_some(path, missing_ok=False, kept=kept):
            if len(list(folder.iterdir())) == kept:
                raise StoppedError
            unlink(path, missing_ok=missing_ok)

        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            patch.setattr(Path, "unlink", unlink_some)
            ask(k=3)
        ask()
        assert pq.read_table(tmp_path / "recs.parquet").equals(pq.read_table(tmp_path / "at once.parquet"))


def test_a_part_that_was_not_written_whole_does_not_count(people, ask, tmp_path) -> None:
    with pytest.raises(StoppedError):
        ask(stop_after=2)
    (tmp_path / "recs.parquet.parts" / ".part-000002.parquet.writing").write_bytes(b"half")
    assert ask().resumed == 10
    assert sorted(path.name for path in tmp_path.glob("*recs*")) == ["recs.parquet"]


def test_the_file_before_stays_until_the_new_one_is_whole(ask, tmp_path) -> None:
    ask(k=2)
    before = (tmp_path / "recs.parquet").read_bytes()
    with pytest.raises(StoppedError):
        ask(k=3, stop_after=2)
    assert (tmp_path / "recs.parquet").read_bytes() == before
    ask(k=3)
    assert pq.read_table(tmp_path / "recs.parquet")["rank"].to_numpy().max() == 3


def test_two_at_once_and_places_that_cannot_be_written(ask, tmp_path) -> None:
    with pytest.raises(StoppedError):
        ask(stop_after=1)
    with (
        folder_lock(tmp_path / "recs.parquet.parts") as held,
        pytest.raises(RequestError, match="another process is writing it"),
    ):
        assert held
        ask()
    with pytest.raises(RequestError, match=r"is a folder; name a file in it"):
        ask(out=tmp_path)
    with pytest.raises(RequestError, match=r"cannot be written \(No such file or directory\)"):
        ask(out=tmp_path / "absent" / "recs.parquet")


def test_parts_do_not_open_over_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "recs.parquet.parts").write_text("mine")
    with (
        pytest.raises(RequestError, match=r"cannot be written \(File exists\)"),
        open_parts(tmp_path / "recs.parquet", None, {}),
    ):
        pass
    assert (tmp_path / "recs.parquet.parts").read_text() == "mine"
