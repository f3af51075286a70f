"""Sweeps on a ring: the table says what the runs say, and only what is missing is trained."""

import json
import statistics
import xml.etree.ElementTree as ET

import pytest

from recsvc.errors import ConfigError, RunError
from training import pipeline
from training.config import load_config
from training.image.space import ImageSpace
from training.run import Run
from training.sequence.space import BehaviourSpace
from training.tuning import prepared
from training.tuning.objectives import OBJECTIVES
from training.tuning.settings import configured
from training.tuning.sweep import sweep
from training.tuning.tables import format_table

QUICK = {
    "sequence.model.dim": 8,
    "sequence.model.layers": 1,
    "sequence.loop.epochs": 2,
    "sequence.loop.evaluate_every": 1,
    "runtime.threads": 1,
    "runtime.keep_memory": False,
}


@pytest.fixture
def vary(tmp_path, cycle_dataset, small_settings):
    """Sweeps in a folder of the test's own, with quick settings."""

    def swept(what, *, out="sweep", dataset=cycle_dataset, settings=None, **options):
        overrides = [
            f"{key}={value}" for key, value in ((small_settings | QUICK) if settings is None else settings).items()
        ]
        return sweep(dataset, tmp_path / out, configure=configured(None, overrides), vary=what, **options)

    return swept


def written(folder):
    return json.loads((folder / "sweep.json").read_text("utf-8"))


def test_the_table_says_what_the_runs_say(vary, tmp_path, cycle_dataset, small_settings):
    found = vary("sequence.model.dim=8,16", seeds="0,1")
    assert (found.key, found.judged_by, found.values) == ("sequence.model.dim", "validation", ("8", "16"))
    best = {}
    for point in written(tmp_path / "sweep")["points"]:
        run = Run.open(tmp_path / "sweep" / point["run"])
        assert run.config.sequence.model.dim == point["value"] and run.config.sequence.loop.seed == point["seed"]
        assert point["figures"] == {"ndcg@10": run.read_json("behaviour.json")["best"]}
        best.setdefault(point["value"], []).append(point["figures"]["ndcg@10"])
    assert {value: len(each) for value, each in best.items()} == {8: 2, 16: 2}
    for value, each in best.items():
        (line,) = [line for line in found.text.splitlines() if line.split()[:1] == [str(value)]]
        assert f"{statistics.fmean(each):.4f} ± {statistics.stdev(each):.4f}" in line
    # A point is what `recsvc train` makes with the same settings.
    overrides = [f"{key}={value}" for key, value in (small_settings | QUICK | {"sequence.model.dim": 16}).items()]
    config = load_config(overrides=[*overrides, "sequence.loop.seed=1"])
    run = pipeline.train(cycle_dataset, tmp_path / "alone", config=config, only=["behaviour"])
    assert run.read_json("behaviour.json")["best"] == best[16][1]
    plot = ET.parse(tmp_path / "sweep" / "sweep.svg").getroot()
    assert plot.tag.endswith("svg") and len(list(plot.iter())) > 50


def test_only_what_is_missing_is_trained(vary, tmp_path, monkeypatch):
    trained, real = [], BehaviourSpace.train

    def train(self, run, **options):
        trained.append(run.folder.name)
        return real(self, run, **options)

    monkeypatch.setattr(BehaviourSpace, "train", train)
    vary("sequence.model.dropout=0,0.2")
    first = written(tmp_path / "sweep")["points"]
    assert trained == ["dropout=0,seed=0", "dropout=0.2,seed=0"]
    monkeypatch.setattr(prepared, "read_dataset", None)  # the data set is read once
    vary("sequence.model.dropout=0,0.2", seeds="0,1")
    assert trained[2:] == ["dropout=0,seed=1", "dropout=0.2,seed=1"]
    assert [each for each in written(tmp_path / "sweep")["points"] if each["seed"] == 0] == first
    with pytest.raises(RunError, match=r"another configuration \(sequence.model.dim was 8, now 12\)"):
        vary("sequence.model.dropout=0,0.2", settings=QUICK | {"split.validation_users": 60, "sequence.model.dim": 12})


def test_a_stopped_sweep_goes_on(vary, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    real, calls = BehaviourSpace.train, []

    def train(self, run, **options):
        calls.append(options["resume"])
        if len(calls) == 2:
            raise Killed
        return real(self, run, **options)

    monkeypatch.setattr(BehaviourSpace, "train", train)
    with pytest.raises(Killed):
        vary("sequence.model.layers=1,2")
    vary("sequence.model.layers=1,2")
    assert calls == [False, False, True]
    assert len(written(tmp_path / "sweep")["points"]) == 2


def test_a_setting_that_decides_what_is_prepared(vary, tmp_path):
    vary("split.validation_users=20,60")
    for point in written(tmp_path / "sweep")["points"]:
        assert Run.open(tmp_path / "sweep" / point["run"]).config.split.validation_users == point["value"]
    folders = sorted(folder.name for folder in (tmp_path / "sweep").iterdir() if folder.is_dir())
    assert folders == ["prepared-20", "prepared-60", "runs"]


def test_words_stand_for_themselves(vary, tmp_path):
    found = vary("sequence.loop.keep=best,last")
    assert found.values == ("best", "last")
    by_value = {point["value"]: point for point in written(tmp_path / "sweep")["points"]}
    assert set(by_value) == {"best", "last"}
    assert by_value["best"]["figures"]["ndcg@10"] >= by_value["last"]["figures"]["ndcg@10"]


@pytest.mark.parametrize(
    "what", ["walks.length=5,20", "walks.per_node=2,20", "skip_gram.dim=4,16", "skip_gram.window=1,3"]
)
def test_a_space_that_does_not_validate_is_judged_by_its_evaluation(what, vary, tmp_path, trio_dataset, trio_settings):
    found = vary(f"graph.{what}", dataset=trio_dataset, settings=trio_settings)
    assert found.judged_by == "evaluation" and "figures of the evaluation" in found.text
    points = written(tmp_path / "sweep")["points"]
    assert [point["value"] for point in points] == [int(value) for value in what.partition("=")[2].split(",")]
    for point in points:
        run = Run.open(tmp_path / "sweep" / point["run"])
        assert point["figures"] == run.read_json("evaluation.json")["graph"]["model"]
        assert pipeline.trained_spaces(run).keys() == {"graph"}
    assert points[0]["figures"] != points[1]["figures"]
    # Of many figures the table and the plot show those that are compared; the file has them all.
    assert "user:own_type@10" in points[0]["figures"]
    (header,) = [line for line in found.text.splitlines() if line.startswith(found.key)]
    assert header.split() == [found.key, "link_auc", "seconds", "model", "MB"]
    plot = (tmp_path / "sweep" / "sweep.svg").read_text("utf-8")
    assert "<!-- evaluation link_auc -->" in plot and f"<!-- {found.key} -->" in plot and "own_type" not in plot


def test_figures_that_a_sweep_shows():
    names = ["author:macro_f1@20%", "author:macro_f1@80%", "nmi", "cosine_link_auc", "link_auc", "venue:own_type@10"]
    assert OBJECTIVES["graph"].shown(names) == ["author:macro_f1@20%", "nmi", "link_auc"]
    assert OBJECTIVES["graph"].shown(["odd"]) == ["odd"] and OBJECTIVES["image"].shown(["a", "b"]) == ["a", "b"]


def test_views_are_judged_by_the_evaluation(vary, tmp_path, trio_dataset, trio_settings):
    found = vary("image.simclr.temperature=0.1,0.2", dataset=trio_dataset, settings=trio_settings, out="temperature")
    assert found.judged_by == "validation" and set(found.points[0].figures) == {"view_match"}
    found = vary("image.views.crop_area=0.2,0.8", dataset=trio_dataset, settings=trio_settings)
    assert found.judged_by == "evaluation" and "view_match" not in found.points[0].figures
    assert ImageSpace().trained(Run.open(found.points[0].run))


WRONG = {
    "sequence.model.dims=32,64": "no setting 'sequence.model.dims'; the nearest is 'sequence.model.dim'",
    "sequence.model.dim": "expected key.path=value,value",
    "sequence.model.dim=32": "at least two different values",
    "sequence.model.dim=32,32": "at least two different values",
    "sequence.model.dim=32,wide": "valid integer",
    "sequence.model.heads=2,3": "multiple of heads",
    "sequence.loop.seed=1,2": "name seeds with --seeds",
    "sequence.model.dim=[32": "not YAML",
}


@pytest.mark.parametrize(("what", "message"), WRONG.items())
def test_a_wrong_sweep_is_refused_before_anything_starts(what, message, vary, tmp_path):
    with pytest.raises(ConfigError, match=message) as refused:
        vary(what)
    assert "\n" not in str(refused.value) and not (tmp_path / "sweep").exists()


def test_seeds_are_whole_numbers(vary):
    for seeds in ("a", "1,1", "", "-1"):
        with pytest.raises(ConfigError, match="different whole numbers"):
            vary("sequence.model.dim=8,16", seeds=seeds)


def test_tables_set_numbers_right_and_words_left():
    assert format_table(["name", "figure"], [["a", "1.5"], ["long name", "10.25"], ["c", "-"]]).splitlines() == [
        "name       figure",
        "a             1.5",
        "long name   10.25",
        "c               -",
    ]
