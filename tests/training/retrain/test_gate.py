"""The whole gate on a run of three spaces: the champion passes beside itself, and what is broken is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsvc.errors import ReleaseError
from recsvc.releases import ManifestDraft, Store
from training.retrain.gate import Contender, judge
from training.retrain.gate_config import GateConfig
from training.retrain.gate_verdict import LATENCY, Check, Verdict

CONFIG = GateConfig(latency_floor_ms=1e6, min_over_popularity=0.0)


@pytest.fixture
def run(gate_run):
    return gate_run


@pytest.fixture
def champion(gate_champion):
    return gate_champion


def contender(store, release):
    return Contender(store.path_of(release), release, store.verify(release))


@pytest.fixture
def changed(champion, tmp_path):
    """``changed(tamper, **draft)``: the champion's files as another release, after something was done to them."""

    def make(tamper=None, **draft):
        manifest = champion.manifest

        def fill(staging):
            for name in manifest.files:
                (staging / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(champion.folder / name, staging / name)
            if tamper is not None:
                tamper(staging)
            return ManifestDraft(**{name: getattr(manifest, name) for name in ManifestDraft.model_fields} | draft)

        store = Store(tmp_path / f"store{len(list(tmp_path.iterdir()))}")
        return contender(store, store.publish(fill))

    return make


def table(space, change):
    """Changes the vectors of a space's table."""

    def tamper(staging):
        path = staging / space / "items.safetensors"
        tensors = load_file(path)
        save_file(tensors | {"vectors": np.ascontiguousarray(change(tensors["vectors"]))}, path)

    return tamper


def refused(verdict):
    return {(check.space, check.name) for check in verdict.checks if not check.passed}


def test_the_champion_beside_itself_passes_and_twice_the_same_is_said(champion, run):
    verdict = judge(champion, champion, run, CONFIG)
    assert verdict.accepted, refused(verdict)
    assert verdict.spaces == {"behaviour": True, "graph": True, "image": True}
    named = {(check.space, check.name) for check in verdict.checks}
    assert len(named) == len(verdict.checks)
    assert {("behaviour", "ndcg@10"), ("graph", "links"), ("image", "views"), ("image", "labels")} <= named
    assert {(space, "parity") for space in verdict.spaces} <= named and {(None, "size"), (None, LATENCY)} <= named
    again = judge(champion, champion, run, CONFIG)
    assert timeless(again) == timeless(verdict)
    assert json.loads(json.dumps(verdict.facts())) == verdict.facts()
    assert verdict.reason() == again.reason() and verdict.reason().startswith("NDCG@10 ")
    assert "; graph: AUC " in verdict.reason() and " ms" not in verdict.reason()


def timeless(verdict):
    return [check for check in verdict.facts()["checks"] if check["name"] != LATENCY]


def test_a_first_release_has_floors_only(champion, run):
    verdict = judge(champion, None, run, CONFIG)
    assert verdict.accepted
    assert {check.name for check in verdict.checks} == {"popularity", "parity", "spread"}
    assert ", most popular items " in verdict.reason() and "; graph: spread of the vectors " in verdict.reason()
    assert not judge(champion, None, run, CONFIG.model_copy(update={"min_over_popularity": 1000.0})).accepted


def test_a_space_that_was_lost_is_refused_unless_it_may_be(champion, run, changed):
    spaces = {name: entry for name, entry in champion.manifest.spaces.items() if name != "image"}
    challenger = changed(lambda staging: shutil.rmtree(staging / "image"), spaces=spaces)
    verdict = judge(challenger, champion, run, CONFIG)
    assert refused(verdict) == {("image", "there")} and verdict.spaces == {
        "behaviour": True,
        "graph": True,
        "image": False,
    }
    assert "retrain.gate.lose_spaces" in verdict.reason()
    assert judge(challenger, champion, run, CONFIG.model_copy(update={"lose_spaces": True})).accepted
    # A space more is judged by its floors.
    assert judge(champion, challenger, run, CONFIG).accepted


def test_vectors_that_are_not_the_runs_are_refused(champion, run, changed):
    rng = np.random.default_rng(0)
    challenger = changed(table("graph", rng.permutation))
    found = refused(judge(challenger, champion, run, CONFIG))
    assert {("graph", "links"), ("graph", "parity")} <= found and {space for space, _ in found} == {"graph"}


@pytest.mark.parametrize("space", ["graph", "image"])
def test_collapsed_vectors_are_refused(champion, run, changed, space):
    challenger = changed(table(space, lambda vectors: vectors * 1e-4 + 1))
    assert {(space, "spread"), (space, "rank")} <= refused(judge(challenger, champion, run, CONFIG))


def test_a_release_that_cannot_be_opened_is_refused(champion, run, changed):
    broken = changed(table("graph", lambda vectors: vectors * np.nan))
    verdict = judge(broken, champion, run, CONFIG)
    assert refused(verdict) == {(None, "opens")} and "NaN" in verdict.reason() and not any(verdict.spaces.values())
    with pytest.raises(ReleaseError, match="NaN"):
        judge(champion, broken, run, CONFIG)


def test_a_release_much_larger_is_refused(champion, run, changed):
    files = {
        name: entry.model_copy(update={"size": 10 * entry.size}) for name, entry in champion.manifest.files.items()
    }
    larger = replace(champion, manifest=champion.manifest.model_copy(update={"files": files}))
    assert refused(judge(larger, champion, run, CONFIG)) == {(None, "size")}
    assert judge(champion, larger, run, CONFIG).accepted


def check(space, name, passed, sentence):
    return Check(space, name, passed, None, None, sentence)


def test_the_reason_of_a_refusal_names_three_and_tells_no_times():
    failed = [check("graph", name, False, f"{name} is worse") for name in ("links", "rank", "spread", "parity")]
    verdict = Verdict.of([check("behaviour", "ndcg@10", True, "NDCG@10 the same"), *failed], ["behaviour", "graph"])
    assert verdict.spaces == {"behaviour": True, "graph": False} and not verdict.accepted
    assert verdict.reason() == "graph: links is worse; graph: rank is worse; graph: spread is worse; and 1 more"
    assert Verdict.of([check(None, LATENCY, False, "99 ms")], []).reason() == "answers are too slow"
    assert Verdict.of([], []).reason() == "nothing speaks against it"
