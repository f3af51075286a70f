"""A shop with a champion, and copies of it that are retrained on whatever arrives: did the champion stay?

The real `recsvc retrain` does all of it; nothing here knows what data care and gate look at. Times are moved by whole
days so that the day which is spoilt ended at the last midnight: a retraining looks at the clock.
"""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from recsvc.errors import DatasetError
from recsvc.releases import Store
from training.config import load_config
from training.progress import Reporter
from training.retrain.decisions import Decision
from training.retrain.pipeline import Request, retrain
from training.retrain.snapshot import Sources

SETTINGS = (
    "runtime.threads=1",
    "sequence.model.dim=32",
    "sequence.model.max_length=50",
    "sequence.rows.tokens_per_batch=4000",
    "sequence.loop.epochs=4",
)
DAY = 86400


@dataclass(frozen=True)
class Trial:
    """What became of the champion when some events arrived.

    Attributes:
        ended: how the retraining ended.
        by: kinds of findings of data care or names of checks of the gate that stopped it; empty if none did.
        said: why, in words.
        stayed: whether the champion is still the active release, and whole.
    """

    ended: str
    by: tuple[str, ...]
    said: str
    stayed: bool


class PoisonedShop:
    """A champion, made of the events before a day, in a folder of its own.

    Args:
        folder: where it is made; its store, work folder and data set.
        past: the events before the day.
    """

    def __init__(self, folder: Path, past: pl.DataFrame) -> None:
        self._folder = folder
        first = _retrain(folder, past)
        if first.decision != "published":
            raise SystemExit(f"there is no champion to begin with: {first.sentence}")
        (active,) = Store(folder / "store").current()
        self.champion, self.why = active.id, first.reason

    def try_out(self, events: pl.DataFrame) -> Trial:
        """Retrain a copy of the shop on other events."""
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as made:
            copy = Path(made) / "shop"
            shutil.copytree(self._folder, copy)
            try:
                decision = _retrain(copy, events)
            except DatasetError as error:
                return Trial("refused", ("reading",), str(error).splitlines()[0], self._stayed(copy))
            return Trial(decision.decision, _stopped_by(decision), decision.reason, self._stayed(copy))

    def _stayed(self, copy: Path) -> bool:
        store = Store(copy / "store")
        store.verify(self.champion)
        return [active.id for active in store.current()] == [self.champion]


def as_of_last_midnight(events: pl.DataFrame, day: date) -> tuple[pl.DataFrame, date]:
    """The events with times moved by whole days, so that ``day`` is yesterday; and yesterday, in UTC."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return events.with_columns(pl.col("timestamp") + (yesterday - day).days * DAY), yesterday


def _retrain(shop: Path, events: pl.DataFrame) -> Decision:
    dataset = shop / "dataset"
    dataset.mkdir(parents=True, exist_ok=True)
    events.write_parquet(dataset / "interactions.parquet")
    request = Request(Sources(dataset, None), load_config(overrides=SETTINGS), shop / "work")
    return retrain(request, Store(shop / "store"), reporter=Reporter(quiet=True))


def _stopped_by(decision: Decision) -> tuple[str, ...]:
    if decision.decision == "refused":
        kinds = [finding["kind"] for finding in decision.data["findings"] if finding["level"] == "refuse"]
        return tuple(kinds) or ("nothing to learn from",)
    if decision.decision == "kept":
        return tuple(check["name"] for check in decision.checks if not check["passed"])
    return ()
