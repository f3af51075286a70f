"""From a pinned snapshot to a challenger: the data are looked at, the spaces trained, a release exported.

Every function finds what an earlier process has come to, and goes on from there.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from recsvc.data import Dataset, read_dataset
from recsvc.errors import RunError
from recsvc.releases import Store
from training import pipeline
from training.config import Config, parse_config
from training.retrain.attempts import Attempt, Attempts
from training.retrain.candidate import attempt_of, champion_of
from training.retrain.drift import compare_profiles
from training.retrain.findings import Finding
from training.retrain.gate_verdict import Contender
from training.retrain.profile import profile_dataset, profile_in
from training.retrain.snapshot import open_snapshot
from training.retrain.stages import Boundary, Stage, Stages
from training.retrain.starts import Start, Starts, apply_starts, choose_starts
from training.run import Run


def read_data(attempt: Attempt) -> Dataset:
    """The data set of an attempt."""
    return read_dataset(attempt.snapshot_folder, attempt.asked.config.data)


def look_at_data(attempt: Attempt, store: Store, stages: Stages) -> list[Finding]:
    """What is noteworthy in the data beside those of the champion; profile and findings stay in ``data.json``."""
    with stages.stage(Stage.DATA, "is it what the champion has learnt from?"):
        found = attempt.read("data.json")
        if found is None:
            champion = champion_of(store)
            before = None if champion is None else profile_in(champion.manifest.data)
            profile = profile_dataset(read_data(attempt), attempt.asked.config)
            findings = compare_profiles(profile, before, attempt.asked.config.retrain.data, now=datetime.now(UTC))
            facts = open_snapshot(attempt.snapshot_folder).facts
            found = {"snapshot": facts, "profile": profile, "findings": [finding.facts() for finding in findings]}
            attempt.write("data.json", found)
        findings = [Finding(**finding) for finding in found["findings"]]
        for finding in findings:
            stages.reporter.line(f"{finding.level}: {finding.sentence}")
        stages.passed(Boundary.DATA_JUDGED)
    return findings


def make_challenger(attempt: Attempt, attempts: Attempts, store: Store, stages: Stages) -> Contender:
    """Train, evaluate and export, unless that has been done."""
    challenger = attempt.challenger()
    if challenger is not None:
        return challenger
    champions = champions_run(attempt, attempts, store)
    starts = choose(attempt, attempts, champions, stages)
    run = _train(attempt, champions, starts, stages)
    spaces = pipeline.trained_spaces(run)
    with stages.stage(Stage.EVALUATION, ", ".join(spaces)):
        if pipeline.kept_metrics(run, spaces) is None:
            pipeline.evaluate(run, reporter=stages.reporter)
        stages.passed(Boundary.EVALUATED)
    return _export(attempt, run, stages)


def champions_run(attempt: Attempt, attempts: Attempts, store: Store) -> Run | None:
    """The run that the champion was made of, or None if it is gone or of another version."""
    key = attempt_of(store, attempt.asked.champion)
    try:
        return None if key is None else Run.open(attempts.run_folder_of(key))
    except RunError:
        return None


def choose(attempt: Attempt, attempts: Attempts, champions: Run | None, stages: Stages) -> Starts:
    """How the spaces begin, as ``starts.json`` says unless what they begin from has gone since then."""
    config = attempt.asked.config
    with stages.stage(Stage.STARTS, "which spaces are trained, and from which weights"):
        kept = attempt.read("starts.json")
        starts = None if kept is None else _parse(kept, config)
        if starts is None or (champions is None and any(start.kind != "cold" for start in starts.spaces.values())):
            attempts.drop_run(attempt)
            lost = attempts.log.lost_cold(attempt.asked.champion)
            starts = choose_starts(read_data(attempt), config, champions, cold=attempt.asked.cold, lost=lost)
            spaces = {space: asdict(start) for space, start in starts.spaces.items()}
            attempt.write("starts.json", {"config": starts.config.model_dump(mode="json"), "spaces": spaces})
        for space, start in starts.spaces.items():
            stages.tell(Stage.STARTS, f"{space} {start.kind}: {start.reason}")
        stages.passed(Boundary.STARTS_CHOSEN)
    return starts


def _parse(facts: dict[str, Any], asked: Config) -> Starts:
    """The starts that were written down; where the run runs is asked for anew."""
    config = parse_config(facts["config"], "starts.json")
    spaces = {space: Start(**start) for space, start in facts["spaces"].items()}
    return Starts(config.model_copy(update={"runtime": asked.runtime}), spaces)


def _train(attempt: Attempt, champions: Run | None, starts: Starts, stages: Stages) -> Run:
    def prepared(run: Run) -> None:
        stages.passed(Boundary.PREPARED)
        apply_starts(run, champions, starts)
        stages.passed(Boundary.STARTED)

    said = ", ".join(f"{space} {start.kind}" for space, start in starts.spaces.items())
    with stages.stage(Stage.TRAINING, said or "your own vectors"):
        run = pipeline.train(
            attempt.snapshot_folder,
            attempt.run_folder,
            config=starts.config,
            resume=True,
            prepared=prepared,
            reporter=stages.reporter,
        )
        stages.passed(Boundary.TRAINED)
    return run


def _export(attempt: Attempt, run: Run, stages: Stages) -> Contender:
    facts = {
        "profile": (attempt.read("data.json") or {}).get("profile"),
        "retrain": {
            "key": attempt.key,
            "champion": attempt.asked.champion,
            "starts": (attempt.read("starts.json") or {}).get("spaces"),
        },
    }
    with stages.stage(Stage.EXPORT, "the challenger"):
        pipeline.publish(
            run, attempt.candidate, facts=facts, stage=stages.within("candidate"), reporter=stages.reporter
        )
        challenger = attempt.challenger()
        assert challenger is not None, "a release that has just been published is there"
        stages.passed(Boundary.EXPORTED)
    return challenger
