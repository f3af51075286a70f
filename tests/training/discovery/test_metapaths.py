"""The command `recsvc metapaths`, from arguments to a file that trains."""

import contextlib
import io
import json
from dataclasses import replace

import pytest
import yaml

from recsvc.cli import run
from recsvc.data import read_dataset
from recsvc.data.graph import build_graph
from training.config import load_config
from training.graph.config import GraphConfig
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.results import table
from training.graph.discovery.search import find_meta_paths

BY_VENUE, BY_YEAR = "author-paper-venue-paper-author", "author-paper-year-paper-author"


def command(*arguments):
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def found(areas, settings, tmp_path_factory):
    """A search: its output and the folder with its files."""
    folder = tmp_path_factory.mktemp("found")
    code, out, err = command(
        "metapaths", areas, "--for", "author", "--link", "author-paper", *settings, "--set", "graph.directed=[in_year]",
        "--out", folder / "mix.yaml", "--json", folder / "all.json",
    )  # fmt: skip
    assert code == 0, err
    return folder, out, err


def test_the_informative_path_is_found(found):
    folder, out, _ = found
    facts = json.loads((folder / "all.json").read_text("utf-8"))
    assert facts["anchor"] == "author" and facts["asked"]["relation"] == ["paper", "written_by", "author"]
    assert BY_VENUE in facts["chosen"]["shares"]
    test = facts["tests"][0]
    assert test["shares"] == facts["chosen"]["shares"] and test["xy_auc"] > 0.8
    assert facts["noise"]["difference"] > 0 and len(facts["noise"]["leader"]) == 3
    (control,) = facts["control"].values()
    assert len(control) == 2 and all(0 < trial["xy_auc"] < 1 for trial in control)
    by_path = {each["path"]: each for each in facts["candidates"]}
    assert by_path["author-paper-author"]["most_like"] is None  # nothing stands before it
    (likest,) = by_path[BY_VENUE]["most_like"].items()
    assert likest[0] == "author-paper-author" and 0 < likest[1] < 0.9
    assert 0.3 < facts["by_degree"]["auc"] < test["xy_auc"]
    assert set(facts["seconds"]) == {"enumerate", "statistics", "race", "mix", "test"}
    # Directed, the year cannot be gone back from.
    assert BY_YEAR not in out


def test_the_table(found):
    _, out, err = found
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("|")]
    header, rule, *body = rows
    assert header == [
        "path",
        "coverage",
        "dead ends",
        "entropy",
        "hub",
        "AUC",
        "MRR",
        "tokens/node",
        "share",
        "why not",
    ]
    assert set("".join(rule)) == {"-"} and {len(row) for row in rows} == {len(header)}
    by_path = {row[0]: dict(zip(header, row, strict=True)) for row in body}
    assert by_path["*"]["why not"] == "control" and float(by_path["*"]["AUC"]) > 0
    assert float(by_path[BY_VENUE]["coverage"]) > 0.9 and by_path[BY_VENUE]["share"].endswith("%")
    assert "\nseconds: " in out and "\nchosen: " in out
    assert "race, round 1 of 2" in err and "mix of" in err


def test_the_settings_train_as_they_are(found, areas, tmp_path):
    folder, _, _ = found
    file = folder / "mix.yaml"
    tree = yaml.safe_load(file.read_text("utf-8"))
    facts = json.loads((folder / "all.json").read_text("utf-8"))
    assert {each["path"]: each["weight"] for each in tree["graph"]["meta_paths"]} == facts["chosen"]["shares"]
    assert tree["graph"]["directed"] == ["in_year"] and "discovery" not in tree["graph"]
    config = load_config(file)
    assert [path.path for path in config.graph.meta_paths] == list(facts["chosen"]["shares"])
    assert config.graph.walks.per_node == 2
    code, _, err = command("train", areas, "--config", file, "--out", tmp_path / "run", "--only", "graph",
                           "--set", "runtime.keep_memory=false")  # fmt: skip
    assert code == 0, err
    walked = json.loads((tmp_path / "run" / "graph.json").read_text("utf-8"))["meta_paths"]
    assert {each["path"]: each["share"] for each in walked} == pytest.approx(facts["chosen"]["shares"], abs=1e-3)


def test_a_large_graph_is_trained_less_on_with_a_remark(areas, settings):
    code, _, err = command("metapaths", areas, *settings, *SMALL, "--set", "graph.discovery.max_tokens=3800")
    assert code == 0
    assert "allows trainings over all types 10.1 tokens a node, of 20 that are meant" in err


def test_trainings_too_short_to_learn_are_told(areas):
    graph = build_graph(read_dataset(areas).graph)
    search = DiscoveryConfig(dim=16, tokens_per_node=20, test_links=0)
    found = find_meta_paths(graph, GraphConfig(discovery=search), item_type="item", threads=1)
    advice = "raise graph.discovery.tokens_per_node"
    assert advice not in table(replace(found, by_degree={"auc": 0.0, "mrr": 0.0}))
    assert advice in table(replace(found, by_degree={"auc": 1.0, "mrr": 1.0}))


SMALL = ("--set", "graph.discovery.tokens_per_node=20", "--set", "graph.discovery.test_links=0")


def test_the_same_seed_finds_the_same(areas, settings):
    once, again = (command("metapaths", areas, "--for", "author", *settings, *SMALL) for _ in range(2))
    assert once[0] == 0

    def untimed(out):
        return [line for line in out.splitlines() if not line.startswith("seconds")]

    assert untimed(once[1]) == untimed(again[1])
    # Without --out, the settings stand under the table.
    shown = once[1][once[1].index("\ngraph:") :]
    assert yaml.safe_load(shown)["graph"]["meta_paths"]
    # By another seed, other links are hidden and other walks are made.
    assert untimed(command("metapaths", areas, *settings, *SMALL, "--set", "graph.seed=1")[1]) != untimed(once[1])


def test_pinned_and_vetoed(areas, settings):
    code, out, _ = command(
        "metapaths", areas, "--for", "author", *settings, *SMALL, "--set", f"graph.discovery.veto=[{BY_VENUE}]",
        "--set", f"graph.discovery.pin=[{BY_YEAR}]", "--set", "graph.discovery.min_entropy=1.0",
    )  # fmt: skip
    assert code == 0
    raced = next(line for line in out.splitlines() if line.startswith(f"| {BY_YEAR}"))
    assert f"| {BY_VENUE}" not in out and "no better than *" in raced
    assert "| author-paper-author " in out and "below 1" in out
    # What is left is worse than no path, and that is said.
    assert "chosen: *" in out and "no mix of meta-paths is better than the walk without one" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "autor"], "--for autor: the graph has no node type 'autor'; the nearest is 'author'"),
        (["--link", "author-venue"], "no relation with edges joins these types; 'author' is joined to 'paper'"),
        (["--link", "author"], "expected two node types"),
        (["--set", "graph.discovery.hops=3"], "unknown key 'graph.discovery.hops'"),
        (["--set", "graph.discovery.max_hops=7"], "graph.discovery.max_hops"),
        (["--set", "graph.discovery.max_hops=1"], "no meta-path through"),
        (["--set", "graph.discovery.min_entropy=1.0"], "left to race; of 6, the first: "),
        (["--set", "graph.discovery.pin=[author-venue-author]"], "no relation joins 'author' and 'venue'"),
        (["--set", "graph.discovery.pin=['*']"], "* is raced in any case"),
        (["--out", "/nowhere/mix.yaml"], "--out /nowhere/mix.yaml: cannot be written"),
        (["--json", "/"], "--json /: cannot be written"),
        (["--config", "/nowhere.yaml"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(areas, arguments, message):
    code, out, err = command("metapaths", areas, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("recsvc: ")]
    assert (code, out) == (2, "") and message in lines[-1] and err.endswith(lines[-1] + "\n")


def test_nothing_is_overwritten_and_no_graph_is_a_mistake(areas, cycle_dataset, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("graph: {}\n")
    code, _, err = command("metapaths", areas, "--out", mine)
    assert code == 2 and "is there already" in err and mine.read_text() == "graph: {}\n"
    code, _, err = command("metapaths", cycle_dataset)
    assert code == 2 and "has no edges.* file" in err


def test_a_path_that_reaches_one_end_can_only_help(areas, settings):
    code, out, err = command("metapaths", areas, "--for", "venue", "--link", "author-paper", *settings, *SMALL)
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("| venue-paper-venue "))
    assert "reaches one end of a link at most" in row or "%" in row
    assert "\n  venue-paper-venue: AUC" not in err
    code, _, err = command(
        "metapaths", areas, *settings, "--link", "paper-venue", "--set", "graph.discovery.max_hops=2", "--set",
        "graph.discovery.veto=[paper-venue-paper]",
    )  # fmt: skip
    assert code == 2 and "no meta-path that is left reaches both 'paper' and 'venue'" in err


@pytest.mark.parametrize("where", ["train", "replace"])
def test_stopped_it_leaves_nothing(areas, settings, tmp_path, monkeypatch, where):
    def stop(*_):
        raise KeyboardInterrupt

    if where == "train":
        monkeypatch.setattr("training.graph.discovery.trials.SkipGram.train", stop)
    else:
        monkeypatch.setattr("pathlib.Path.replace", stop)
    code, _, _ = command(
        "metapaths", areas, *settings, *SMALL, "--out", tmp_path / "mix.yaml", "--json", tmp_path / "all.json"
    )
    assert code == 130
    assert list(tmp_path.iterdir()) == []
