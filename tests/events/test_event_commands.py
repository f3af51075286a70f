"""`recsvc events` and `recsvc keys` as somebody types them."""

import re

import pytest

from recsvc.cli import run
from recsvc.events import Database, parse_key


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Runs a command on a database of its own; gives exit code, standard output and standard error."""
    for name in ("RECSVC_DATABASE", "RECSVC_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments, database="sqlite:///events.sqlite"):
        code = run([*arguments, "--database", database] if database else arguments)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def interactions(tmp_path):
    """A small file of interactions, one of which nobody can have made yet."""
    lines = ["user_id,item_id,timestamp", "Ada,x,1700000000", "Ada,y,1700000060", "Bob,x,1700000000", "Eve,z,4e9"]
    (tmp_path / "interactions.csv").write_text("\n".join(lines) + "\n", "utf-8")


def test_from_file_to_folder(command, interactions, tmp_path):
    code, out, err = command("events", "import", "interactions.csv")
    assert code == 0
    assert out.split("\n")[:3] == ["accepted       3", "there already  0", "refused        1"]
    assert re.search(r"refused: 1 rows: time is in the future; our clock says \d{4}-", err)
    assert command("events", "import", "interactions.csv")[1].startswith("accepted       0\nthere already  3\n")
    code, out, _ = command("events", "stats")
    assert code == 0
    assert re.search(r"^events +3$", out, re.M) and re.search(r"^last event +2023-11-14 22:14:20 UTC$", out, re.M)
    code, out, err = command("events", "export", "--out", "folder", "--since", "2023-11-14T22:13:20+00:00")
    assert (code, out, err) == (0, "", "3 events: folder; next: recsvc check folder\n")
    assert run(["check", "folder"]) == 0
    code, _, err = command("events", "export", "--out", "later", "--since", "2023-11-14T22:14:21")
    assert (code, err) == (2, "recsvc: events.sqlite has no events since then to export\n")


def test_forget_and_prune(command, interactions):
    command("events", "import", "interactions.csv")
    assert command("events", "forget", "Ada")[1] == "events deleted   2\nanswers deleted  0\n"
    assert "Ada" not in command("events", "import", "interactions.csv")[1]
    code, out, _ = command("events", "prune", "--events-before", "2024-01-01", "--answers-before", "2024-01-01")
    assert (code, out) == (0, "events deleted   1\nanswers deleted  0\n")
    code, _, err = command("events", "prune")
    assert code == 2 and "give --events-before TIME, --answers-before TIME or both" in err


def test_keys(command):
    code, text, err = command("keys", "create", "shop window", "--scope", "write", "--rate", "50")
    assert code == 0
    key_id, secret = parse_key(text.strip())
    assert err == f"key {key_id} (write); keep what follows, it is not shown again\n"
    with Database.open("sqlite:///events.sqlite") as database:
        assert database.keys.find(key_id).matches(secret)
    other = parse_key(command("keys", "create", "reader", "--expires", "2999-01-01")[1].strip())[0]
    code, listed, _ = command("keys", "list")
    assert listed.splitlines() == [
        f"{key_id}  live     write  shop window  50/s",
        f"{other}  live     read   reader  until 2999-01-01 00:00:00",
    ]
    assert secret not in listed
    assert command("keys", "revoke", key_id)[:2] == (0, f"{key_id}\n")
    assert command("keys", "revoke", key_id)[0] == 2
    assert f"{key_id}  revoked  write" in command("keys", "list")[1]
    code, out, err = command("keys", "create", "shop", "--scope", "root")
    assert (code, out, err) == (2, "", "recsvc: 'root' is no scope: give one of read, write, admin.\n")


def test_which_database_is_meant(command, tmp_path):
    code, _, err = command("events", "stats", database=None)
    assert (code, err) == (2, "recsvc: Which database is meant? Give --database URL or --store FOLDER.\n")
    assert command("events", "migrate", "--store", str(tmp_path), database=None)[0] == 0
    code, out, _ = command("events", "stats", "--store", str(tmp_path), database=None)
    assert code == 0 and f"{tmp_path}/events.sqlite" in out


@pytest.mark.parametrize("what", [("events", "stats"), ("events", "forget", "Ada"), ("keys", "list")])
def test_a_mistyped_name_makes_no_database(command, tmp_path, what):
    code, _, err = command(*what, database="sqlite:///none.sqlite")
    assert (code, err) == (
        2,
        "recsvc: The database none.sqlite is not there: name the file that the service writes.\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_bad_times_and_passwords(command):
    code, _, err = command("events", "prune", "--events-before", "yesterday")
    assert code == 2 and "--events-before yesterday: is no time; write 2026-11-24" in err
    code, out, err = command("events", "stats", database="postgresql://u:hunter2@127.0.0.1:1/name")
    assert code == 2 and "cannot be reached" in err and "hunter2" not in out + err
