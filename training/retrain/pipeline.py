"""The state machine of `recsvc retrain`: one command that can be killed anywhere and run again.

What has become whole is found by the next process: the pinned snapshot, the trained run, the exported challenger, the
verdict, the published release. So the end is the same however often it was begun, and nothing is published in part.

What trains and judges is imported when it comes to that: to find that nothing is new takes no torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from recsvc.errors import DatasetError
from recsvc.releases import Store
from recsvc.releases.stages import StageHook, no_hook
from training.config import Config
from training.progress import Reporter
from training.retrain.attempts import Asked, Attempt, Attempts, key_of
from training.retrain.candidate import attempt_of, leading_of
from training.retrain.decisions import FINAL, Decision, now
from training.retrain.findings import Finding
from training.retrain.lock import store_lock, work_lock
from training.retrain.snapshot import Sources, open_snapshot, still_allowed, take_snapshot
from training.retrain.stages import Boundary, Stage, Stages
from training.signals import InterruptedTrainingError


@dataclass(frozen=True)
class Request:
    """What is asked of a retraining.

    Attributes:
        sources: where the data come from.
        config: every setting.
        work: folder of attempts and decisions.
        cold: whether every space has to begin cold.
        force: why the challenger is to be published whatever the gate says; None if the gate decides.
        discard: whether an unfinished attempt is dropped instead of finished.
    """

    sources: Sources
    config: Config
    work: Path
    cold: bool = False
    force: str | None = None
    discard: bool = False


def retrain(request: Request, store: Store, *, reporter: Reporter | None = None, hook: StageHook = no_hook) -> Decision:
    """Learn from the data as they are now, and publish what comes of it if it is not worse than the active release.

    Args:
        request: what is asked.
        store: where the champion is, and the challenger may come to be.
        reporter: where progress is shown.
        hook: called at every boundary of a stage.

    Raises:
        RunError: another retraining is at work.
        DatasetError, ConfigError, ReleaseError, DatabaseError: the caller can mend it; the message says how.
        InterruptedTrainingError: a signal asked to stop; running it again goes on.
    """
    stages = Stages(reporter or Reporter(quiet=True), hook)
    with work_lock(request.work), store_lock(store.path):
        return _Retraining(request, store, stages).run()


def rehearse(request: Request, store: Store, *, reporter: Reporter | None = None) -> Decision:
    """Say what :func:`retrain` would train, of which data and how; nothing of it is kept.

    Raises:
        As :func:`retrain`.
    """
    with work_lock(request.work), store_lock(store.path):
        return _Retraining(request, store, Stages(reporter or Reporter(quiet=True))).rehearse()


# What has failed so often, and not because it was killed, is begun anew on newer data.
_TRIES = 3


class _Retraining:
    """One call of :func:`retrain`, under the locks."""

    def __init__(self, request: Request, store: Store, stages: Stages) -> None:
        self._request, self._store, self._stages = request, store, stages
        self._attempts = Attempts(request.work)
        self._log = self._attempts.log
        held_out = request.config.split.model_copy(update={"test_share": request.config.retrain.holdout_share})
        dataset, database = request.sources.dataset, request.sources.database
        self._asked = Asked(
            config=request.config.model_copy(update={"split": held_out}),
            sources={
                "dataset": None if dataset is None else str(dataset.resolve()),
                "database": None if database is None else database.shown,
            },
            cold=request.cold,
            champion=leading_of(store),
            begun=now(),
            force=request.force,
        )

    def run(self) -> Decision:
        """The whole of it."""
        self._clear()
        decision, fingerprint = self._finish_left()
        if decision is not None and self._request.force is not None:
            return decision
        begun = self._begin(decision, fingerprint)
        return begun if isinstance(begun, Decision) else self._conclude(begun)

    def rehearse(self) -> Decision:
        """Everything before training, of which nothing is kept."""
        from training.retrain.challenge import champions_run, choose, look_at_data

        self._clear()
        key = self._snapshot()
        attempt = Attempt(self._attempts.incoming, self._asked)
        findings = look_at_data(attempt, self._store, self._stages)
        champions = champions_run(attempt, self._attempts, self._store)
        choose(attempt, self._attempts, champions, self._stages)
        refusals = _refusals(findings)
        said = f"these data would be refused: {refusals}" if refusals else "these data would be learnt from"
        if earlier := self._earlier(key):
            said += f"; {self._said(earlier[-1])}"
        decision = attempt.decide("dry run", said, seconds=self._stages.seconds)
        self._attempts.clear()
        return replace(decision, key=key)

    def _clear(self) -> None:
        for key in self._attempts.clear():
            self._say(f"attempt {key} was made by another version of recsvc, and is gone")

    def _finish_left(self) -> tuple[Decision | None, str]:
        """Bring the attempt to its end that an earlier process has left, if it is of use; drop others.

        Returns:
            The decision, and the fingerprint of the data that it is on.
        """
        decision, fingerprint = None, ""
        for attempt in self._attempts.unfinished():
            why = self._useless(attempt) if decision is None else "a newer one was finished"
            if why is None:
                self._say(f"going on with attempt {attempt.key} of {attempt.asked.begun}")
                fingerprint = open_snapshot(attempt.snapshot_folder).fingerprint
                decision = self._conclude(attempt.with_settings_of(self._asked))
                self._say(decision.sentence)
            else:
                self._say(f"attempt {attempt.key} of {attempt.asked.begun} is dropped: {why}")
                self._attempts.drop(attempt)
        return decision, fingerprint

    def _useless(self, attempt: Attempt) -> str | None:
        """Why an unfinished attempt is not gone on with."""
        if self._request.discard:
            return "asked for"
        if not attempt.asked.same_question(self._asked):
            return "the settings, the data set or the database are others now"
        if attempt.failures >= _TRIES:
            return f"it has failed {attempt.failures} times"
        try:
            return still_allowed(open_snapshot(attempt.snapshot_folder), self._request.sources)
        except DatasetError as error:
            return str(error)

    def _begin(self, finished: Decision | None, fingerprint: str) -> Attempt | Decision:
        """Take a snapshot and pin an attempt to it, or say what has come of these data already."""
        asked = self._asked
        key = self._snapshot()
        earlier = self._earlier(key)
        if finished is not None and open_snapshot(self._attempts.incoming / "snapshot").fingerprint == fingerprint:
            self._attempts.clear()
            return finished
        if earlier and asked.force is None:
            self._attempts.clear()
            self._tidy()
            reason, seconds = self._said(earlier[-1]), dict(self._stages.seconds)
            return replace(earlier[-1], decision="nothing new", reason=reason, seconds=seconds)
        if earlier:
            key = self._key(again=len(self._log.all()))
        # What is active may have changed since: an earlier attempt was finished.
        attempt = self._attempts.pin(key, replace(asked, champion=leading_of(self._store), begun=now()))
        self._stages.passed(Boundary.PINNED)
        return attempt

    def _snapshot(self) -> str:
        """Take a snapshot into the incoming folder; returns the key of an attempt on it."""
        incoming, asked = self._attempts.incoming, self._asked
        with self._stages.stage(Stage.SNAPSHOT, " and ".join(filter(None, asked.sources.values()))):
            incoming.mkdir()
            take_snapshot(self._request.sources, incoming / "snapshot", asked.config, self._stages.reporter)
            self._stages.passed(Boundary.SNAPSHOT_TAKEN)
        return self._key()

    def _key(self, again: int = 0) -> str:
        fingerprint = open_snapshot(self._attempts.incoming / "snapshot").fingerprint
        return key_of(fingerprint, self._asked.config, cold=self._asked.cold, again=again)

    def _earlier(self, key: str) -> list[Decision]:
        """The decisions after which a key need not be tried again, oldest first."""
        return [decision for decision in self._log.of_key(key) if decision.decision in FINAL]

    @staticmethod
    def _said(earlier: Decision) -> str:
        return f"on {earlier.time} these data and settings came to this: {earlier.sentence}"

    def _conclude(self, attempt: Attempt) -> Decision:
        """Bring an attempt to its end."""
        decision = self._log.of_attempt(attempt.key, attempt.asked.begun)
        try:
            return self._close(attempt, decision or self._decide(attempt))
        except InterruptedTrainingError:
            raise
        except Exception:
            attempt.note_failure()
            raise

    def _decide(self, attempt: Attempt) -> Decision:
        from training.retrain.challenge import look_at_data, make_challenger
        from training.retrain.promotion import promote
        from training.runtime import prepare_process

        prepare_process(attempt.asked.config.runtime)
        seconds = self._stages.seconds
        try:
            findings = look_at_data(attempt, self._store, self._stages)
            if refusals := _refusals(findings):
                return attempt.decide("refused", refusals, seconds=seconds)
            challenger = make_challenger(attempt, self._attempts, self._store, self._stages)
        except DatasetError as error:
            # Such data become no better by trying again; newer ones may.
            return attempt.decide("refused", str(error), seconds=seconds)
        except InterruptedTrainingError as error:
            raise InterruptedTrainingError(error.signal_number, "run the same command again to go on") from None
        return promote(attempt, challenger, self._store, self._stages)

    def _close(self, attempt: Attempt, decision: Decision) -> Decision:
        """Write the decision down, in the log first, and delete what is no longer needed."""
        keep = self._asked.config.retrain.keep_releases
        with self._stages.stage(Stage.CLOSING, decision.decision):
            self._log.add(decision, midway=lambda: self._stages.passed(Boundary.MID_LOG))
            self._stages.passed(Boundary.LOGGED)
            attempt.write("decision.json", decision.facts())
            self._stages.passed(Boundary.DECIDED)
            if self._store.promotions():
                self._store.gc(keep)
            self._tidy()
            self._stages.passed(Boundary.TIDIED)
        return decision

    def _tidy(self) -> None:
        keep = self._asked.config.retrain.keep_attempts
        self._attempts.tidy(keep, attempt_of(self._store, leading_of(self._store)))

    def _say(self, text: str) -> None:
        self._stages.reporter.line(text)


def _refusals(findings: Iterable[Finding]) -> str:
    """Why data are refused, nothing if they are not."""
    return "; ".join(finding.sentence for finding in findings if finding.level == "refuse")
