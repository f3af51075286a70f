"""`recsvc runs list` and `recsvc runs compare`."""

import json
import re
import shutil

import pytest

from recsvc.cli import run as command
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.run import Run


def trained(folder, dataset, settings, **changes):
    settings = settings | {"sequence.loop.epochs": 3, "sequence.loop.evaluate_every": 1} | changes
    config = load_config(overrides=[f"{key}={value}" for key, value in settings.items()])
    return pipeline.train(dataset, folder, config=config)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, cycle_dataset, small_settings):
    """Two runs of one data set, judged and one of them published, and a third that is not judged."""
    shelf = tmp_path_factory.mktemp("shelf")
    first = trained(shelf / "first", cycle_dataset, small_settings)
    pipeline.publish(first, Store(shelf / "store"))
    second = trained(
        shelf / "deep" / "second", cycle_dataset, small_settings, **{"sequence.loop.learning_rate": 0.0001}
    )
    pipeline.evaluate(second)
    unjudged = shelf / "unjudged"
    shutil.copytree(second.folder, unjudged)
    (unjudged / "evaluation.json").unlink()
    return shelf


@pytest.fixture
def told(capsys, shelf, monkeypatch):
    """Runs a command in the shelf; gives exit code, standard output and standard error."""
    monkeypatch.chdir(shelf)

    def call(*arguments):
        code = command(["runs", *arguments])
        return code, *capsys.readouterr()

    return call


def test_a_list_has_every_run_with_its_figures_and_releases(told, shelf):
    code, out, err = told("list", ".", "--json")
    assert code == 0 and err == ""
    rows = {row["run"]: row for row in json.loads(out)}
    assert set(rows) == {"first", "deep/second", "unjudged"}
    first = rows["first"]
    assert first["spaces"] == ["behaviour"] and first["dataset"] == "dataset" and first["cpu_seconds"] > 0
    judged = Run.open(shelf / "first").read_json("evaluation.json")["behaviour"]["model"]
    assert first["figures"] == {"behaviour ndcg@10": judged["ndcg@10"]}
    assert first["published"] == [info.id for info in Store(shelf / "store").list()]
    assert rows["unjudged"]["figures"] == {} and rows["unjudged"]["published"] == []
    code, out, _ = told("list", "first", "deep", "first")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3 and lines[0].split()[:3] == ["run", "created", "data"]
    assert f"behaviour ndcg@10 {judged['ndcg@10']:.4f}" in next(line for line in lines if line.startswith("first"))


def test_a_run_of_another_format_is_named_and_the_others_are_listed(told, shelf, tmp_path):
    for number, advice in ((1, "train again"), (3, "newer version")):
        older = tmp_path / f"of {number}"
        shutil.copytree(shelf / "first", older)
        facts = json.loads((older / "run.json").read_text("utf-8"))
        (older / "run.json").write_text(json.dumps(facts | {"format": number}), "utf-8")
        code, out, err = told("list", str(older), "first")
        assert code == 0 and "first" in out and re.search(rf"run\.json: format {number}, .*{advice}", err)
        code, _, err = told("compare", str(older), "first")
        assert code == 2 and advice in err
        for name in ("evaluate", "report"):
            assert command([name, str(older)]) == 2
        assert command(["publish", str(older), "--store", str(tmp_path / "store")]) == 2


def test_two_runs_side_by_side(told):
    code, out, err = told("compare", "first", "deep/second", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["data"]["same"] and found["notes"] == []
    assert found["settings"] == {"sequence.loop.learning_rate": [0.003, 0.0001]}
    (lead,) = found["differences"].values()
    figures = found["figures"]["behaviour"]["ndcg@10"]
    assert lead["ndcg@10"]["mean"] == pytest.approx(figures[1] - figures[0])
    assert lead["ndcg@10"]["low"] <= lead["ndcg@10"]["mean"] <= lead["ndcg@10"]["high"]
    code, out, _ = told("compare", "first", "deep/second")
    assert "A  first\nB  deep/second\ndata: the same\n" in out
    assert re.search(r"^sequence.loop.learning_rate  0\.003  0\.0001$", out, re.M)
    assert re.search(r"^B - A, paired 95% intervals over users: hr@10 -\d", out, re.M)


def test_what_cannot_be_compared_says_why(told, tmp_path, small_settings, shelf):
    code, out, err = told("compare", "first", "unjudged")
    assert code == 0 and "not judged; run `recsvc evaluate unjudged`" in err and "no interval" in err
    other = tmp_path / "other"
    shutil.copytree(shelf / "deep" / "second", other)
    facts = json.loads((other / "run.json").read_text("utf-8"))
    (other / "run.json").write_text(json.dumps(facts | {"fingerprint": "0" * 64}), "utf-8")
    judged = json.loads((other / "evaluation.json").read_text("utf-8"))
    judged["behaviour"]["protocol"]["order_sha256"] = "1" * 64
    (other / "evaluation.json").write_text(json.dumps(judged), "utf-8")
    code, out, err = told("compare", "first", str(other))
    assert code == 0 and "data: different" in out
    assert "learnt from different data" in err and "judged on other targets" in err
    (tmp_path / "other" / "behaviour" / "test_ranks.safetensors").unlink()
    code, out, err = told("compare", "deep/second", "unjudged", "first")
    assert code == 0 and out.count("paired 95% intervals") == 1


def test_wrong_use(told, tmp_path):
    assert told("compare", "first")[0] == 2
    code, _, err = told("list", str(tmp_path))
    assert code == 2 and "no run in" in err and "recsvc train" in err
    code, _, err = told("list", "absent")
    assert code == 2 and "absent: there is no such folder" in err
