"""`recsvc check DATASET --against STORE`, as it is typed."""

import pytest

from recsvc.cli import run
from recsvc.data import read_dataset
from recsvc.releases import ManifestDraft, Store
from training.config import Config
from training.retrain.profile import profile_dataset


@pytest.fixture
def store(tmp_path, cycle_dataset):
    """A release that has learnt from the ring."""
    store = Store(tmp_path / "store")
    profile = profile_dataset(read_dataset(cycle_dataset), Config())

    def fill(folder):
        (folder / "warmup.json").write_text("{}", "utf-8")
        return ManifestDraft(data={"profile": profile})

    store.activate(store.publish(fill), actor="test", reason="test")
    return store


def test_the_same_data_do_not_stand_out(store, cycle_dataset, capsys):
    assert run(["check", str(cycle_dataset), "--against", str(store.path)]) == 0
    printed = capsys.readouterr().out
    assert f"against release {store.current()[0].id}:" in printed
    assert "warn: no event is new since the champion was trained" in printed


def test_data_that_would_be_refused(store, cycle_dataset, tmp_path, capsys):
    folder = tmp_path / "half"
    folder.mkdir()
    lines = (cycle_dataset / "interactions.csv").read_text("utf-8").splitlines()
    (folder / "interactions.csv").write_text("\n".join(lines[: len(lines) // 3]) + "\n", "utf-8")
    assert run(["check", str(folder), "--against", str(store.path)]) == 2
    printed = capsys.readouterr()
    assert (
        "refuse: there are 0 listed items, where the champion had 32: a table is missing or was cut off" in printed.out
    )
    assert "`recsvc retrain` would refuse these data" in printed.err
    assert run(["check", str(folder)]) == 0
    allowed = ["--set", "retrain.data.max_shrink=1", "--set", "retrain.data.max_lost_share=1"]
    assert run(["check", str(folder), "--against", str(store.path), *allowed]) == 0


def test_a_store_with_nothing_active(cycle_dataset, tmp_path, capsys):
    Store(tmp_path / "store").publish(lambda folder: ManifestDraft())
    assert run(["check", str(cycle_dataset), "--against", str(tmp_path / "store")]) == 2
    assert "no release is active to compare with" in capsys.readouterr().err
    assert run(["check", str(cycle_dataset), "--against", str(tmp_path / "nowhere")]) == 2
    assert "There is no store at" in capsys.readouterr().err
