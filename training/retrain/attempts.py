"""Attempts: what a retraining has asked for, pinned to a snapshot, and how far it has come.

::

    WORK/.lock                   held by the process that works in the folder
         decisions.jsonl         how every attempt ended
         .incoming/              a snapshot that is being taken
         attempts/<key>/         attempt.json   what was asked, of which data; with it the folder appears, whole
                                 snapshot/      a data set folder, which later changes of the data do not touch
                                 data.json      what was found in the data
                                 starts.json    from which weights each space begins, with the settings of the run
                                 run/           an ordinary run folder
                                 candidate/     a store with one release, which is judged and published as it is
                                 verdict.json   of the gate
                                 failures.json  how often it has failed, not counting kills
                                 decision.json  written last: the attempt is finished
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recsvc.errors import ConfigError, ReleaseError
from recsvc.releases import Store
from training.config import Config, parse_config
from training.files import read_json, remove_folder, sweep_trash, write_json
from training.retrain.decisions import FINAL, Decision, DecisionLog, Outcome
from training.retrain.gate_verdict import Contender

_FORMAT = 1


def key_of(fingerprint: str, config: Config, *, cold: bool, again: int = 0) -> str:
    """Name what is to be learnt and how: the same data and settings have the same key.

    Args:
        fingerprint: of the snapshot.
        config: the settings.
        cold: whether every space has to begin cold.
        again: how many decisions the same data and settings have had, where they are to be had again all the same.
    """
    asked = json.dumps([fingerprint, _settings(config), cold, again], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Asked:
    """What an attempt is to do; ``attempt.json``.

    Attributes:
        config: every setting.
        sources: the data set folder and the database that the snapshot was taken of, as people read them.
        cold: whether every space has to begin cold.
        champion: the release that was active when the attempt began.
        begun: when that was, UTC.
        force: why the release is to be published whatever the gate says; None if the gate decides.
    """

    config: Config
    sources: dict[str, str | None]
    cold: bool
    champion: str | None
    begun: str
    force: str | None

    def same_question(self, other: "Asked") -> bool:
        """Whether an attempt at this is an attempt at ``other``, the snapshot aside."""
        mine, others = _settings(self.config), _settings(other.config)
        return (self.sources, self.cold, mine) == (other.sources, other.cold, others)


@dataclass(frozen=True)
class Attempt:
    """An attempt that is pinned to its snapshot."""

    folder: Path
    asked: Asked

    @property
    def key(self) -> str:
        """The name of the attempt."""
        return self.folder.name

    @property
    def snapshot_folder(self) -> Path:
        """The data set folder that it learns from."""
        return self.folder / "snapshot"

    @property
    def run_folder(self) -> Path:
        """Where it is trained."""
        return self.folder / "run"

    @property
    def candidate(self) -> Store:
        """The store that holds the challenger and nothing else."""
        return Store(self.folder / "candidate")

    def challenger(self) -> Contender | None:
        """The challenger, verified, or None if it has not been exported whole."""
        store = self.candidate
        for info in store.list() if store.path.is_dir() else ():
            try:
                return Contender(store.path_of(info.id), info.id, store.verify(info.id))
            except ReleaseError:
                continue
        return None

    def with_settings_of(self, asked: Asked) -> "Attempt":
        """The attempt as it is asked for now: what may change meanwhile is where it runs, and that it is forced."""
        config = self.asked.config.model_copy(update={"runtime": asked.config.runtime})
        return replace(self, asked=replace(self.asked, config=config, force=asked.force or self.asked.force))

    def read(self, name: str) -> dict[str, Any] | None:
        """What an earlier process has found out, or None."""
        return read_json(self.folder / name)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Keep what was found out for whoever has to go on."""
        write_json(self.folder / name, content)

    @property
    def failures(self) -> int:
        """How often a process has given up on it by itself."""
        return int((self.read("failures.json") or {}).get("count", 0))

    def note_failure(self) -> None:
        """Count that a process gives up on it."""
        self.write("failures.json", {"count": self.failures + 1})

    def decide(
        self, outcome: Outcome, reason: str, *, seconds: dict[str, float], release: str | None = None
    ) -> Decision:
        """The decision on this attempt, with all that was found out on the way."""
        found, verdict = self.read("data.json") or {}, self.read("verdict.json") or {}
        return Decision(
            key=self.key,
            decision=outcome,
            reason=reason,
            release=release,
            champion=verdict.get("champion", self.asked.champion),
            begun=self.asked.begun,
            data={"snapshot": found.get("snapshot", {}), "findings": found.get("findings", [])},
            starts=(self.read("starts.json") or {}).get("spaces", {}),
            checks=verdict.get("checks", []),
            seconds=dict(seconds),
        )


class Attempts:
    """The attempts of a work folder, whose lock the caller holds."""

    def __init__(self, work: Path) -> None:
        self._folder = work / "attempts"
        self.log = DecisionLog(work)
        """How earlier attempts ended."""
        self.incoming = work / ".incoming"
        """Where the snapshot of the next attempt is taken."""

    def clear(self) -> list[str]:
        """Make the folders, delete what a crash has left half made or half deleted, and what other versions made.

        Returns:
            The keys of the attempts that this version cannot read, which are gone.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep_trash(self._folder)
        sweep_trash(self.incoming.parent)
        remove_folder(self.incoming)
        unreadable = [folder for folder in self._folder.iterdir() if _read(folder) is None]
        for folder in unreadable:
            remove_folder(folder)
        return sorted(folder.name for folder in unreadable)

    def pin(self, key: str, asked: Asked) -> Attempt:
        """Make an attempt of the snapshot in ``incoming``: it appears whole."""
        folder = self._folder / key
        write_json(self.incoming / "attempt.json", _facts(asked))
        remove_folder(folder)
        self.incoming.rename(folder)
        return Attempt(folder, asked)

    def unfinished(self) -> list[Attempt]:
        """The attempts without a decision, newest first."""
        return [attempt for attempt in self._all() if not (attempt.folder / "decision.json").is_file()]

    def drop(self, attempt: Attempt) -> None:
        """Delete an attempt."""
        remove_folder(attempt.folder)

    def drop_run(self, attempt: Attempt) -> None:
        """Delete what has been trained in an attempt."""
        remove_folder(attempt.run_folder)

    def find(self, key: str) -> Attempt | None:
        """The attempt of a key, or None if it is gone or of another version."""
        asked = _read(self._folder / key)
        return None if asked is None else Attempt(self._folder / key, asked)

    def run_folder_of(self, key: str) -> Path:
        """The run folder of an attempt, which may be gone."""
        return self._folder / key / "run"

    def tidy(self, keep: int, champion: str | None) -> None:
        """Delete finished attempts but the newest, that of the champion, and what nobody needs of those that stay.

        Args:
            keep: how many of the newest stay.
            champion: key of the attempt that the champion came from.
        """
        finished = [(attempt, ended) for attempt in self._all() if (ended := attempt.read("decision.json")) is not None]
        final = [attempt.key for attempt, ended in finished if ended["decision"] in FINAL]
        kept = {champion, *final[:keep]}
        for attempt, ended in finished:
            if attempt.key not in kept:
                self.drop(attempt)
                continue
            # The data of people are not kept longer than they are of use; what was published stands in the store.
            remove_folder(attempt.snapshot_folder)
            if ended["decision"] == "published":
                remove_folder(attempt.candidate.path)

    def _all(self) -> list[Attempt]:
        """Every attempt, newest first."""
        found = [Attempt(folder, asked) for folder in self._folder.iterdir() if (asked := _read(folder)) is not None]
        return sorted(found, key=lambda attempt: attempt.asked.begun, reverse=True)


def _settings(config: Config) -> dict[str, Any]:
    """What tells one attempt from another; on what and how fast it runs makes no difference."""
    return config.model_dump(mode="json", exclude={"runtime"})


def _facts(asked: Asked) -> dict[str, Any]:
    return {**vars(asked), "config": asked.config.model_dump(mode="json"), "format": _FORMAT}


def _read(folder: Path) -> Asked | None:
    """What the attempt in a folder was asked, or None where this version cannot tell."""
    try:
        facts = read_json(folder / "attempt.json")
        if facts is None or facts.pop("format") != _FORMAT:
            return None
        config = parse_config(facts.pop("config"), str(folder / "attempt.json"))
        return Asked(config=config, **facts)
    except (ValueError, KeyError, TypeError, ConfigError):
        return None
