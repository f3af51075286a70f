"""Secrets that stand in files: which of the places counts, what cannot be a secret, and that none is told."""

import pytest

from api import load_settings
from recsvc.cli import run
from recsvc.errors import ConfigError
from recsvc.events import Database
from recsvc.secret_files import read_secret, secret

URL = "postgresql+psycopg://recsvc:geheim@database/recsvc"


@pytest.fixture
def url_file(tmp_path, monkeypatch):
    """A file with the URL, which the environment names; the variable itself is not set."""
    path = tmp_path / "database_url"
    path.write_text(URL + "\n")
    monkeypatch.delenv("RECSVC_DATABASE", raising=False)
    monkeypatch.setenv("RECSVC_DATABASE_FILE", str(path))
    return path


def test_what_is_said_outright_goes_before_the_file(url_file, monkeypatch):
    assert secret("RECSVC_DATABASE") == URL
    monkeypatch.setenv("RECSVC_DATABASE", "sqlite:////one")
    assert secret("RECSVC_DATABASE") == "sqlite:////one"
    assert secret("RECSVC_DATABASE", "sqlite:////two") == "sqlite:////two"
    assert secret("RECSVC_QUEUE") is None


def test_the_service_reads_it(url_file, tmp_path):
    assert load_settings(store=tmp_path).database == URL
    assert load_settings(store=tmp_path, database="sqlite:////one").database == "sqlite:////one"
    url_file.unlink()
    with pytest.raises(ConfigError, match=r"^RECSVC_DATABASE_FILE .*database_url: the file cannot be read"):
        load_settings(store=tmp_path)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "must hold one line"),
        (b" \n ", "must hold one line"),
        (b"geheim\nmore", "must hold one line"),
        (b"geheim" * 20_000, "must hold one line"),
        (b"geheim\xff", "is no UTF-8 text"),
    ],
)
def test_what_is_no_secret_is_not_quoted(tmp_path, content, wrong):
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=wrong) as caught:
        read_secret(path, "--key-file")
    assert "geheim" not in str(caught.value)


def test_a_key_of_a_file_is_made_known_once(tmp_path, monkeypatch, capfd):
    key = f"rsk_{'0a' * 8}_{'s' * 43}"
    database, url_file, key_file = tmp_path / "events.sqlite", tmp_path / "url", tmp_path / "key"
    url_file.write_text(f"sqlite:///{database}")
    key_file.write_text(key)
    monkeypatch.setenv("RECSVC_DATABASE_FILE", str(url_file))
    for _ in range(2):  # a container that starts again does it again
        assert run(["keys", "create", "first", "--scope", "admin", "--key-file", str(key_file)]) == 0
    with Database.open(f"sqlite:///{database}") as opened:
        (kept,) = opened.keys.list()
    assert kept.id == "0a" * 8 and kept.allows("admin") and kept.matches("s" * 43)
    assert "s" * 43 not in "".join(capfd.readouterr())
