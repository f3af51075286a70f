"""`recsvc retrain` from end to end on a small shop: what it publishes, what it keeps, and what it leaves alone."""

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsvc.errors import ReleaseError
from recsvc.events import Database, Event
from recsvc.releases import Store
from training.config import load_config
from training.progress import Reporter
from training.retrain.decisions import Decision, DecisionLog
from training.retrain.lock import work_lock
from training.retrain.pipeline import Request, rehearse, retrain
from training.retrain.snapshot import Sources
from training.retrain.stages import Boundary, Stage


class Killed(BaseException):
    """Stands for `kill -9`."""


class Lines(Reporter):
    """Remembers what was told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.told: list[str] = []

    def line(self, text: str) -> None:
        self.told.append(text)


@dataclass(frozen=True)
class Shop:
    """A data set folder, a store, and how it is retrained."""

    folder: Path
    support: Any

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def active(self) -> str:
        return self.store.current()[0].id

    def request(self, database: Database | None = None, **settings: Any) -> Request:
        config = load_config(overrides=self.support.overrides(**settings))
        return Request(Sources(self.folder / "dataset", database), config, self.work)

    def decisions(self) -> list[Decision]:
        return DecisionLog(self.work).all()

    def arguments(self) -> list[object]:
        settings = [part for override in self.support.overrides() for part in ("--set", override)]
        return ["retrain", self.folder / "dataset", "--store", self.store.path, "--work", self.work, *settings]

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file with its size and when it was written, locks aside."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def die_at(boundary: str):
    def hook(passed: str) -> None:
        if passed == boundary:
            raise Killed

    return hook


def killed_at(boundary: str, request: Request, shop: Shop) -> None:
    with pytest.raises(Killed):
        retrain(request, shop.store, hook=die_at(boundary))


@pytest.fixture(scope="module")
def support(load_support):
    return load_support("retrained")


@pytest.fixture(scope="module")
def first(support, tmp_path_factory) -> Shop:
    """The shop after its first day. Read only."""
    shop = Shop(tmp_path_factory.mktemp("retrained") / "shop", support)
    support.write_days(shop.folder / "dataset", 1)
    decision = retrain(shop.request(), shop.store)
    assert decision.decision == "published"
    return shop


@pytest.fixture
def shop(first, tmp_path) -> Shop:
    """A copy of the shop after its first day."""
    shutil.copytree(first.folder, tmp_path / "shop")
    return Shop(tmp_path / "shop", first.support)


def test_the_first_release(first):
    (decision,) = first.decisions()
    assert decision.release == first.active and decision.champion is None
    manifest = first.store.verify(first.active)
    assert manifest.data["retrain"]["key"] == decision.key and manifest.data["retrain"]["champion"] is None
    assert decision.data["snapshot"]["events"] == manifest.data["profile"]["events"] > 300
    assert decision.starts["behaviour"]["kind"] == "cold"
    assert list(decision.seconds) == [str(stage) for stage in Stage][:-1]  # it is written down in the last one
    assert manifest.config["split"]["test_share"] == 0.5, "few newest events are held out"
    (promotion,) = first.store.promotions()
    assert (promotion.actor, promotion.reason) == ("recsvc retrain", decision.reason)


def test_the_same_data_again_do_nothing(shop, recsvc_here):
    before = shop.files()
    decision = retrain(shop.request(), shop.store)
    assert decision.decision == "nothing new" and decision.release == shop.active
    assert shop.files() == before
    code, out, err = recsvc_here(*shop.arguments(), "--json", shop.folder.parent / "decision.json")
    assert (code, out) == (0, "") and "\nnothing new: on 20" in err
    assert json.loads((shop.folder.parent / "decision.json").read_text())["decision"] == "nothing new"
    assert shop.files() == before


def test_a_second_one_is_told_who_is_at_work(shop, recsvc_here):
    with work_lock(shop.work):
        code, out, err = recsvc_here(*shop.arguments())
    assert (code, out, err.count("\n")) == (2, "", 1) and "since 20" in err and "process" in err


def test_one_more_day_is_published_and_a_rollback_lasts(shop, support):
    champion = shop.active
    support.write_days(shop.folder / "dataset", 2)
    decision = retrain(shop.request(), shop.store)
    assert decision.decision == "published" and decision.champion == champion
    assert decision.release == shop.active != champion
    assert {check["name"] for check in decision.checks} >= {"ndcg@10", "coverage"}
    assert shop.store.promotions()[-1].reason == decision.reason
    attempts = sorted(path.name for path in (shop.work / "attempts").iterdir())
    assert attempts == [decision.key], "the attempt of the first day is no longer needed"
    shop.store.rollback(actor="test", reason="we do not like it")
    assert retrain(shop.request(), shop.store).decision == "nothing new" and shop.active == champion


def test_a_challenger_that_fails_is_kept_back_unless_it_is_forced(shop, support):
    champion = shop.active
    support.write_days(shop.folder / "dataset", 2)
    strict = shop.request(retrain__gate__min_over_popularity=1000)
    kept = retrain(strict, shop.store)
    assert kept.decision == "kept" and kept.champion == shop.active == champion and "popular" in kept.reason
    assert retrain(strict, shop.store).decision == "nothing new"
    forced = retrain(replace(strict, force="the shop knows better"), shop.store)
    assert forced.decision == "published" and forced.release == shop.active != champion
    assert forced.reason == f"forced: the shop knows better; the gate says: {kept.reason}"
    assert shop.store.promotions()[-1].reason == forced.reason
    assert [decision.decision for decision in shop.decisions()] == ["published", "kept", "published"]
    assert retrain(strict, shop.store).decision == "nothing new"


def test_data_that_are_refused(shop, support, recsvc_here):
    champion = shop.active
    path = shop.folder / "dataset" / "interactions.csv"
    ahead = int((datetime.now(UTC) + timedelta(days=400)).timestamp())
    support.write_whole(path, path.read_text() + f"user 1,item 3,{ahead}\n")
    code, out, err = recsvc_here(*shop.arguments())
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith(
        "recsvc: the data are refused, the champion stays: "
    )
    assert "future" in err.splitlines()[-1]
    assert recsvc_here(*shop.arguments())[0] == 2
    assert [decision.decision for decision in shop.decisions()] == ["published", "refused"]
    assert shop.active == champion
    assert len(list((shop.work / "attempts").iterdir())) == 1, "nothing of it stays, and the champion's run does"


@pytest.mark.parametrize(
    ("poison", "outcome", "by"),
    [
        ("bot with 20,000 clicks", "refused", "inhuman rate"),
        ("clocks a year behind", "refused", "late events"),
        # Data care does not judge the order of the second day of a log, having seen one: the gate has to.
        ("shuffled items", "kept", "new events"),
        ("empty day", "nothing new", None),
    ],
)
def test_poison_never_replaces_the_champion(shop, support, tmp_path, poisons, poison, outcome, by):
    champion = shop.active
    path = shop.folder / "dataset" / "interactions.csv"
    past = events_in(path)
    later = events_in(support.write_days(tmp_path / "later", 2) / "interactions.csv")
    window = later.filter(pl.col("timestamp") >= support.FIRST + 86_400)
    spoilt = poisons[poison](past, window, np.random.default_rng(0))
    support.write_whole(path, spoilt.drop("event").write_csv())
    decision = retrain(shop.request(), shop.store)
    assert decision.decision == outcome and shop.active == champion
    stopped = [finding["kind"] for finding in decision.data["findings"] if finding["level"] == "refuse"]
    stopped += [check["name"] for check in decision.checks if not check["passed"]]
    assert by is None or by in stopped
    assert shop.store.verify(champion) and len(shop.store.promotions()) == 1


def test_data_that_cannot_be_learnt_from_are_refused_too(support, tmp_path):
    shop = Shop(tmp_path, support)
    (tmp_path / "dataset").mkdir()
    rows = [f"user {n // 2},item {n % 3},{support.FIRST + n}" for n in range(20)]
    support.write_whole(tmp_path / "dataset" / "interactions.csv", "\n".join(["user_id,item_id,timestamp", *rows, ""]))
    decision = retrain(shop.request(), shop.store)
    assert decision.decision == "refused" and "three interactions" in decision.reason
    assert shop.store.current() == [] and shop.decisions() == [decision]


def test_a_rehearsal_keeps_nothing(shop, support):
    support.write_days(shop.folder / "dataset", 2)
    before, reporter = shop.files(), Lines()
    decision = rehearse(shop.request(), shop.store, reporter=reporter)
    assert decision.decision == "dry run" and decision.starts["behaviour"]["kind"] in ("warm", "cold")
    assert any("behaviour " in line for line in reporter.told)
    assert shop.files() == before and not (shop.work / ".incoming").exists()


def test_an_unfinished_attempt_is_gone_on_with_or_dropped(shop, support):
    support.write_days(shop.folder / "dataset", 2)
    request = shop.request()
    killed_at(Stage.TRAINING, request, shop)
    (unfinished,) = (path for path in (shop.work / "attempts").iterdir() if not (path / "decision.json").exists())

    reporter = Lines()
    with pytest.raises(Killed):
        retrain(request, shop.store, reporter=reporter, hook=die_at(Boundary.PREPARED))
    assert reporter.told[0].startswith(f"going on with attempt {unfinished.name} of ")
    assert (unfinished / "run" / "run.json").is_file()

    for change, why in (
        (replace(request, cold=True), "others now"),
        (shop.request(sequence__model__dim=8), "others now"),
        (replace(request, discard=True), "asked for"),
    ):
        kept = shutil.copytree(shop.folder, shop.folder.with_name("kept"))
        reporter = Lines()
        with pytest.raises(Killed):
            retrain(change, shop.store, reporter=reporter, hook=die_at(Boundary.PINNED))
        assert reporter.told[0].startswith(f"attempt {unfinished.name} of ") and reporter.told[0].endswith(why)
        shutil.rmtree(shop.folder)
        kept.rename(shop.folder)


def test_an_attempt_in_which_somebody_is_who_asked_to_be_forgotten_is_dropped(shop, support, tmp_path):
    start = datetime.fromtimestamp(support.FIRST + 86_400, UTC)
    with Database.open(f"sqlite:///{tmp_path / 'events.sqlite'}") as database:
        new = [Event(f"e{n}", f"user {n}", f"item {n % 24}", start + timedelta(minutes=n)) for n in range(100)]
        database.events.add(new)
        request = shop.request(database)
        killed_at(Boundary.PINNED, request, shop)
        database.events.forget("user 7")
        reporter = Lines()
        with pytest.raises(Killed):
            retrain(request, shop.store, reporter=reporter, hook=die_at(Boundary.PINNED))
    assert "asked to be forgotten" in reporter.told[0] and "is dropped" in reporter.told[0]
    (pinned,) = (path for path in (shop.work / "attempts").iterdir() if not (path / "decision.json").exists())
    assert json.loads((pinned / "snapshot" / ".snapshot.json").read_text())["of_forgotten"] > 0


def test_an_attempt_that_fails_again_and_again_is_given_up(shop, support):
    support.write_days(shop.folder / "dataset", 2)
    request = shop.request()

    def fail(passed: str) -> None:
        if passed == Boundary.DATA_JUDGED:
            raise ReleaseError("no")

    for _ in range(3):
        with pytest.raises(ReleaseError, match="no"):
            retrain(request, shop.store, hook=fail)
    reporter = Lines()
    with pytest.raises(Killed):
        retrain(request, shop.store, reporter=reporter, hook=die_at(Boundary.PINNED))
    assert reporter.told[0].endswith("is dropped: it has failed 3 times")


def test_an_attempt_whose_snapshot_is_damaged_is_dropped(shop, support):
    support.write_days(shop.folder / "dataset", 2)
    request = shop.request()
    killed_at(Boundary.PINNED, request, shop)
    (pinned,) = (path for path in (shop.work / "attempts").iterdir() if not (path / "decision.json").exists())
    (pinned / "snapshot" / ".snapshot.json").write_text("{")
    reporter = Lines()
    with pytest.raises(Killed):
        retrain(request, shop.store, reporter=reporter, hook=die_at(Boundary.PINNED))
    assert "is dropped: " in reporter.told[0] and "damaged" in reporter.told[0]


def test_an_attempt_of_another_version_is_told_of_and_gone(shop):
    (attempt,) = (shop.work / "attempts").iterdir()
    (attempt / "attempt.json").write_text('{"format": 0}')
    reporter = Lines()
    assert retrain(shop.request(), shop.store, reporter=reporter).decision == "nothing new"
    assert reporter.told[0] == f"attempt {attempt.name} was made by another version of recsvc, and is gone"
    assert list((shop.work / "attempts").iterdir()) == []


def test_releases_that_share_the_traffic_are_left_alone(shop):
    other = shop.store.publish(_some_release)
    shop.store.split([(shop.active, 0.5), (other, 0.5)], actor="test", reason="which is better?")
    with pytest.raises(ReleaseError, match="share the traffic"):
        retrain(shop.request(), shop.store)


def events_in(path: Path) -> pl.DataFrame:
    """The events of a data set as poisons take them."""
    events = pl.read_csv(path, schema_overrides={"timestamp": pl.Float64}).sort("timestamp", maintain_order=True)
    return events.select("user_id", "item_id", pl.lit("view").alias("event"), "timestamp")


def _some_release(folder: Path):
    from recsvc.releases import ManifestDraft

    (folder / "warmup.json").write_text("{}")
    return ManifestDraft()


@pytest.fixture
def recsvc_here(capsys, monkeypatch):
    """``recsvc`` in this process: exit code, standard output, standard error."""
    from recsvc.cli import run

    for name in ("RECSVC_STORE", "RECSVC_DATABASE"):
        monkeypatch.delenv(name, raising=False)

    def here(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return here
