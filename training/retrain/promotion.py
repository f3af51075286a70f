"""The challenger before the gate, and what follows: it takes the champion's place, or the champion stays."""

from typing import Any

from recsvc.releases import Store
from training.retrain.attempts import Attempt
from training.retrain.candidate import champion_of, leading_of, publish_same
from training.retrain.decisions import Decision
from training.retrain.gate import judge
from training.retrain.gate_verdict import Contender
from training.retrain.stages import Boundary, Stage, Stages
from training.run import Run

ACTOR = "recsvc retrain"


def promote(attempt: Attempt, challenger: Contender, store: Store, stages: Stages) -> Decision:
    """Judge the challenger beside whatever is active, and publish and activate it if it may."""
    force = attempt.asked.force
    while not _was_active(challenger, store):
        champion = champion_of(store)
        verdict = _verdict(attempt, challenger, champion, stages)
        if not verdict["accepted"] and force is None:
            return attempt.decide("kept", verdict["reason"], release=challenger.release, seconds=stages.seconds)
        with stages.stage(Stage.PUBLISHING, challenger.release):
            publish_same(challenger, store, stage=stages.within("release"))
            stages.passed(Boundary.IN_STORE)
            # Somebody may have activated another release while the challenger was judged: then once more.
            if leading_of(store) == (None if champion is None else champion.release):
                why = _reason(verdict, force)
                store.activate(challenger.release, actor=ACTOR, reason=why, stage=stages.within("release"))
                stages.passed(Boundary.ACTIVE)
    why = _reason(attempt.read("verdict.json") or {}, force)
    return attempt.decide("published", why, release=challenger.release, seconds=stages.seconds)


def _was_active(challenger: Contender, store: Store) -> bool:
    """Whether this was activated before; if somebody has gone back from it since, that is to last."""
    if leading_of(store) == challenger.release:
        store.recover()  # the log of promotions may lag behind the pointer
        return True
    return any(promotion.after == challenger.release for promotion in store.promotions())


def _verdict(attempt: Attempt, challenger: Contender, champion: Contender | None, stages: Stages) -> dict[str, Any]:
    """What the gate says, or has said before beside the same champion."""
    release = None if champion is None else champion.release
    with stages.stage(Stage.GATE, f"{challenger.release} beside {release or 'nothing: it is the first release'}"):
        verdict = attempt.read("verdict.json")
        if verdict is None or verdict["champion"] != release:
            run, config = Run.open(attempt.run_folder), attempt.asked.config.retrain.gate
            found = judge(challenger, champion, run, config, reporter=stages.reporter)
            verdict = {**found.facts(), "champion": release, "reason": found.reason()}
            attempt.write("verdict.json", verdict)
        for check in verdict["checks"]:
            where = "" if check["space"] is None else f"{check['space']}: "
            stages.reporter.line(f"{'passed' if check['passed'] else 'refused'}: {where}{check['sentence']}")
        stages.passed(Boundary.JUDGED)
    return verdict


def _reason(verdict: dict[str, Any], force: str | None) -> str:
    said = str(verdict["reason"])
    return said if force is None else f"forced: {force}; the gate says: {said}"
