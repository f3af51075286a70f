"""kill -9 at every boundary of a retraining: the champion goes on serving, and the same release comes of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recsvc.answers import Recommender
from recsvc.releases import Stage as PublishStage
from recsvc.releases import Store
from training.retrain.stages import Boundary, Stage

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
PUBLISHED, ACTIVATED = list(PublishStage)[:9], list(PublishStage)[9:]
# Between these a store is as the tests of releases leave it at a kill, and each export takes seconds.
SPARED = PUBLISHED[2:7]
BOUNDARIES = {
    *map(str, Stage),
    *map(str, Boundary),
    *(f"candidate {stage}" for stage in PUBLISHED if stage not in SPARED),
    *(f"release {stage}" for stage in [*PUBLISHED, *ACTIVATED]),
}


@dataclass(frozen=True)
class Place:
    """A store with its work folder, and the data set that is retrained on."""

    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    def save(self, folder: Path) -> Path:
        """Keep a copy of how it is now."""
        return Path(shutil.copytree(self.folder, folder))

    def put_back(self, saved: Path) -> None:
        """Be again as a copy says, at the same place: an attempt belongs to the path of its data set."""
        shutil.rmtree(self.folder)
        shutil.copytree(saved, self.folder)

    def content(self) -> dict[str, Any]:
        """What the active release holds, its times aside."""
        manifest = self.store.verify(self.store.current()[0].id)
        files = {name: entry.sha256 for name, entry in manifest.files.items()}
        retrained = manifest.data["retrain"]
        return {"files": files, "metrics": manifest.metrics, "profile": manifest.data["profile"], **retrained}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs a command that dies at the first boundary that is not spared; its exit code, and where it died."""
    command = [sys.executable, str(Path(__file__).with_name("kill_driver.py"))]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    errors = tmp_path_factory.mktemp("driver") / "stderr"

    def run(arguments: list[str], spared: set[str] | None) -> tuple[int, str]:
        job = {"arguments": arguments, "spared": None if spared is None else sorted(spared), "stderr": str(errors)}
        print(json.dumps(job), file=process.stdin, flush=True)
        code, boundary = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        assert code in (0, -signal.SIGKILL), errors.read_text()
        return code, boundary

    yield run
    process.stdin.close()
    assert process.wait(300) == 0


@pytest.fixture(scope="module")
def retrain(driver, load_support) -> Callable[..., tuple[int, str]]:
    settings = [part for override in load_support("retrained").overrides() for part in ("--set", override)]

    def run(place: Place, spared: set[str] | None = None) -> tuple[int, str]:
        places = [str(place.folder / "dataset"), "--store", str(place.folder / "store")]
        return driver(["retrain", *places, *settings], spared)

    return run


def test_a_kill_at_every_boundary(retrain, load_support, tmp_path):
    place = Place(tmp_path / "place")
    write_days = load_support("retrained").write_days
    write_days(place.folder / "dataset", 3)
    assert retrain(place)[0] == 0
    champion = place.store.current()[0].id
    write_days(place.folder / "dataset", 4)
    # What is whole once is not made again, which hides boundaries behind others: so some rounds begin later.
    beginnings = {"": place.save(tmp_path / "base")}
    assert retrain(place)[0] == 0
    wanted = place.content()
    assert wanted["starts"]["behaviour"]["kind"] == "warm"
    assert place.store.current()[0].id != champion

    spared = {f"candidate {stage}" for stage in SPARED}
    died: set[str] = set()
    for beginning in ("", *["export"] * 2, *["publishing"] * 6):
        place.put_back(beginnings[beginning])
        while (ended := retrain(place, died | spared))[0] != 0:
            died.add(ended[1])
            active = place.store.current()[0].id
            place.store.verify(active)
            assert active == champion or place.content() == wanted
            assert all(info.damage is None for info in place.store.list())
            if ended[1] in ("export", "publishing"):
                beginnings[ended[1]] = place.save(tmp_path / ended[1])
        check_the_end(place, champion, wanted)
    assert died == BOUNDARIES


def check_the_end(place: Place, champion: str, wanted: dict[str, Any]) -> None:
    """Everything that holds after the end of a retraining, however often it was begun."""
    assert place.content() == wanted
    (active,) = place.store.current()
    assert len(Recommender.from_store(place.store.path).recommend(["item 1", "item 2"], k=5).items) == 5
    promotions = place.store.promotions()
    assert [line.before for line in promotions] == [None, *(line.after for line in promotions[:-1])]
    assert [line.after for line in promotions][-2:] == [champion, active.id]
    work = place.folder / "store" / "retrain"
    decisions = [json.loads(line) for line in (work / "decisions.jsonl").read_text("utf-8").splitlines()]
    assert [(line["decision"], line["release"]) for line in decisions] == [
        ("published", champion),
        ("published", active.id),
    ]
    hidden = [path.name for path in place.folder.rglob(".*")]
    assert sorted(hidden) == [".lock", ".lock"], "nothing half made stays"
    attempts = [path.name for path in (work / "attempts").iterdir()]
    assert attempts == [decisions[-1]["key"]]
    assert not (work / "attempts" / attempts[0] / "snapshot").exists()
