"""The command line as a stranger uses it: results on standard output, one line for a mistake, exit codes 0 and 2."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from typer.main import get_command

import recsvc as package
from recsvc.cli import app

COMMANDS = [
    "demo",
    "check",
    "train",
    "evaluate",
    "report",
    "tune",
    "sweep",
    "metapaths",
    "export",
    "publish",
    "serve",
    "recommend",
    "similar",
    "releases list",
    "releases show",
    "releases verify",
    "releases activate",
    "releases split",
    "releases rollback",
    "releases gc",
    "events import",
    "events export",
    "events forget",
    "events prune",
    "events stats",
    "events migrate",
    "keys create",
    "keys list",
    "keys revoke",
    "config show",
    "config schema",
    "retrain",
    "increment",
    "worker",
    "jobs list",
    "jobs show",
    "jobs submit",
    "jobs cancel",
    "jobs retry",
    "runs list",
    "runs compare",
    "runs export",
]
GROUPS = ["releases", "events", "keys", "config", "jobs", "runs"]
NOBODY = "20000101T000000-0123456789ab"


def leaves(command, path=()):
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*path, name))
    if not getattr(command, "commands", None):
        yield " ".join(path)


def test_the_list_of_commands_here_is_whole():
    assert sorted(leaves(get_command(app))) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", *GROUPS, *COMMANDS])
def test_help(recsvc, command):
    outcome = recsvc(*command.split(), "--help")
    assert outcome.code == 0 and outcome.err == ""
    assert outcome.out.startswith(f"Usage: recsvc {command}".rstrip())
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_a_group_alone_shows_its_help(recsvc, group):
    outcome = recsvc(*group.split())
    assert outcome.code == 2
    lines = (outcome.out + outcome.err).splitlines()
    assert lines[0].startswith(f"Usage: recsvc {group}".rstrip()) and len(lines) > 5, lines


def test_version(recsvc):
    assert recsvc("--version").out == f"{package.__version__}\n"


def test_help_imports_nothing_heavy(recsvc_process):
    outcome = recsvc_process(
        code="import sys\n"
        "from recsvc.cli import run\n"
        "code = run(['--help'])\n"
        "heavy = 'torch polars pyarrow fastapi numpy faiss onnxruntime pydantic training api'.split()\n"
        "print([name for name in heavy if name in sys.modules], code, file=sys.stderr)\n"
    )
    assert outcome.err == "[] 0\n", outcome


def test_serving_imports_no_pipeline(recsvc_process, tmp_path):
    outcome = recsvc_process(
        code="import sys\n"
        "from recsvc.cli import run\n"
        f"code = run(['recommend', 'x', '--store', {str(tmp_path)!r}])\n"
        "print([name for name in ('torch', 'polars', 'pyarrow', 'training') if name in sys.modules], code)\n"
    )
    assert outcome.out == "[] 2\n", outcome


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["nonsense"], r"No such command 'nonsense'"),
        (["releases", "nonsense"], r"No such command 'nonsense'.*recsvc releases --help"),
        (["--bogus"], r"No such option"),
        (["train", "x", "--out", "y", "--bogus"], r"No such option: --bogus.*recsvc train --help"),
        (["train"], r"Missing argument 'dataset'"),
        (["train", "x"], r"Missing option '--out'"),
        (["train", "x", "--out"], r"'--out' requires an argument"),
        (["check"], r"Missing argument"),
        (["check", "x", "y"], r"unexpected extra argument"),
        (["evaluate"], r"Missing argument"),
        (["report"], r"Missing argument"),
        (["publish", "x"], r"Missing option '--store'"),
        (["recommend", "x"], r"Missing option '--store'"),
        (["similar", "--store", "x"], r"either ids or --image"),
        (["serve"], r"store"),
        (["releases", "show", "--store", "x"], r"Missing argument 'release'"),
        (["releases", "activate", "x"], r"Missing option '--store'"),
        (["recommend", "x", "--store", "y", "-k", "0"], r"'-k'.*greater than or equal to 1|'-k'.*>=1"),
        (["recommend", "x", "--store", "y", "-k", "many"], r"'-k'.*integer"),
        (["similar", "x", "--store", "y", "-k", "-3"], r"'-k'"),
        (["releases", "gc", "--store", "x", "--keep", "-1"], r"'--keep'"),
        (["retrain", "x"], r"Missing option '--store'"),
        (["increment", "x"], r"Missing option '--store'"),
        (["recommend", "--all-users", "--store", "x"], r"--all-users needs --out FILE"),
        (["jobs", "submit", "paint", "--store", "x"], r"no kind of job 'paint'"),
        (["runs", "compare", "x"], r"at least two"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_are_one_line(recsvc, arguments, pattern, one_line):
    one_line(recsvc(*arguments), pattern)


def test_check_prints_the_facts(recsvc, ring):
    outcome = recsvc("check", ring.dataset)
    assert outcome.code == 0 and outcome.err == ""
    facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in outcome.out.splitlines())
    with (ring.dataset / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert facts["interactions"] == f"{len(rows):,}"
    assert facts["users"] == f"{len({user for user, *_ in rows}):,}"
    assert facts["items"] == f"{len({item for _, item, _ in rows}):,}"
    assert facts["users with one interaction"] == "1"
    assert re.fullmatch(r"[0-9a-f]{64}", facts["fingerprint"])


def test_check_notes_what_it_does_not_read(recsvc, ring, tmp_path):
    dataset = shutil.copytree(ring.dataset, tmp_path / "dataset")
    (dataset / "interaction.txt").write_text("mine")
    outcome = recsvc("check", dataset)
    assert outcome.code == 0 and "interaction.txt" in outcome.err and "interaction.txt" not in outcome.out


@pytest.mark.parametrize(
    ("setting", "pattern"),
    [
        ("foo", r"--set foo: expected key.path=value"),
        ("=3", r"--set =3"),
        ("sequence.modle.dim=3", r"unknown key 'sequence\.modle'; the nearest there is 'model'"),
        ("sequence.model.dim=abc", r"sequence\.model\.dim.*'abc'"),
        ("sequence.model.dim=0", r"sequence\.model\.dim.*found 0"),
        ("sequence.model.heads=7", r"multiple of heads"),
        ("sequence=3", r"sequence"),
        ("sequence.loop.epochs=[", r"not YAML"),
        ("evaluation.cutoffs=[0]", r"evaluation\.cutoffs"),
        ("split.kind=random", r"split\.kind"),
        ("data.events=[bought]", r"no `event` column"),
    ],
)
def test_bad_settings_leave_nothing(recsvc, ring, tmp_path, setting, pattern, one_line):
    one_line(recsvc("train", ring.dataset, "--out", tmp_path / "run", "--set", setting), pattern)
    assert list(tmp_path.iterdir()) == []


def test_bad_config_files(recsvc, tmp_path, one_line):
    file = tmp_path / "settings.yaml"
    one_line(recsvc("config", "show", "--config", file), r"settings\.yaml.*cannot be read")
    one_line(recsvc("config", "show", "--config", tmp_path), r"cannot be read")
    for content, pattern in (
        (b"a: [", r"not YAML"),
        (b"- 1", r"expected a mapping"),
        (b"\xff\xfe", r"cannot be read"),
        (b"sequence: {loops: {}}", r"settings\.yaml: unknown key 'sequence\.loops'; the nearest there is 'loop'"),
    ):
        file.write_bytes(content)
        one_line(recsvc("config", "show", "--config", file), pattern)


def test_config_show_reads_back_what_it_prints(recsvc, tmp_path):
    shown = recsvc("config", "show", "--set", "sequence.model.dim=48", "--set", "data.events=[buy, view]")
    tree = yaml.safe_load(shown.out)
    assert tree["sequence"]["model"]["dim"] == 48 and tree["data"]["events"] == ["buy", "view"]
    (tmp_path / "settings.yaml").write_text(shown.out, "utf-8")
    assert recsvc("config", "show", "--config", tmp_path / "settings.yaml") == shown


def test_config_schema_says_everything(recsvc):
    schema = recsvc("config", "schema").json()
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section["properties"].items():
            assert field.get("description", "").endswith("."), name
            # A meta-path of the list has to be given; everything else has a default.
            needs_none = (section.get("title"), name) == ("MetaPathConfig", "path")
            assert "default" in field or "$ref" in field or section is schema or needs_none, name


def test_train_says_what_comes_next_and_wrote_the_settings(ring):
    config = yaml.safe_load((ring.run / "config.yaml").read_text("utf-8"))
    assert config["sequence"]["model"]["dim"] == 16 and config["sequence"]["loop"]["epochs"] == 4


def test_train_refuses_what_is_in_the_way(recsvc, ring, tmp_path, one_line):
    one_line(recsvc("train", ring.dataset, "--out", ring.run), r"holds a run already; add --resume")
    one_line(recsvc("train", ring.dataset, "--out", ring.dataset), r"not empty")
    file = tmp_path / "file"
    file.write_text("mine")
    one_line(recsvc("train", ring.dataset, "--out", file), r"is a file")
    one_line(recsvc("train", ring.dataset, "--out", tmp_path / "run", "--only", "graphs"), r"no such space")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and file.read_text() == "mine"


def test_a_folder_that_cannot_be_made(recsvc, ring, tmp_path, one_line):
    (tmp_path / "file").write_text("mine")
    one_line(recsvc("train", ring.dataset, "--out", tmp_path / "file" / "run"), r"file/run")


def test_a_finished_run_is_not_trained_again(recsvc, ring, tiny_settings, one_line):
    before = (ring.run / "behaviour" / "model.safetensors").stat().st_mtime_ns
    outcome = recsvc("train", ring.dataset, "--out", ring.run, "--resume")
    assert outcome.code == 0 and "trained already" in outcome.err and outcome.out == ""
    assert (ring.run / "behaviour" / "model.safetensors").stat().st_mtime_ns == before
    other = tiny_settings(sequence__loop__epochs=5)
    outcome = recsvc("train", ring.dataset, "--out", ring.run, "--resume", *other)
    one_line(outcome, r"sequence\.loop\.epochs was 4, now 5")


def test_evaluate_prints_and_writes_the_same_figures(recsvc, ring, tmp_path):
    file = tmp_path / "figures.json"
    outcome = recsvc("evaluate", ring.run, "--json", file)
    assert outcome.code == 0
    result = json.loads(file.read_text("utf-8"))["behaviour"]
    assert set(result) == {"protocol", "model", "baselines", "intervals", "cold_warm", "breakdown"}
    for name, value in result["model"].items():
        (line,) = [line for line in outcome.out.splitlines() if line.split()[:1] == [name]]
        others = [values[name] for values in result["baselines"].values()]
        assert line.split()[1:] == [f"{value:.4f}" for value in (value, *others)]
    protocol = dict(result["protocol"])
    for label, value in (protocol.pop("baselines") | protocol).items():
        assert f"{label}: {value}" in outcome.out
    for row in (row for rows in result["breakdown"].values() for row in rows):
        cells = [row["bucket"], str(row["targets"]), *(f"{value:.4f}" for value in row["item_knn"].values())]
        assert any(set(cells) <= set(line.split()) for line in outcome.out.splitlines())
    low = result["intervals"]["model"]["ndcg@10"]["low"]
    assert f"[{low:.4f}, " in outcome.out
    assert result["protocol"]["data_sha256"] in recsvc("check", ring.dataset).out


@pytest.mark.parametrize("where", ["", "missing/figures.json"])
def test_a_json_file_that_cannot_be_written(recsvc, ring, tmp_path, where, one_line):
    one_line(recsvc("evaluate", ring.run, "--json", tmp_path / where), r"--json .*: cannot be written")


def test_folders_that_are_no_runs(recsvc, ring, tmp_path, one_line):
    for folder in (tmp_path, tmp_path / "missing", ring.dataset, ring.store):
        one_line(recsvc("evaluate", folder), r"not a run folder")
        one_line(recsvc("publish", folder, "--store", tmp_path / "store"), r"not a run folder")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_stores(recsvc, ring, tmp_path, one_line):
    (tmp_path / "file").write_text("mine")
    for store in (tmp_path / "missing", tmp_path / "file"):
        for command in (
            ["recommend", "item/1"],
            ["similar", "item/1"],
            ["releases", "list"],
            ["releases", "verify"],
            ["releases", "rollback"],
            ["releases", "gc"],
            ["serve"],
        ):
            one_line(recsvc(*command, "--store", store), r"There is no store at")
        for command in ("show", "activate", "verify"):
            one_line(recsvc("releases", command, NOBODY, "--store", store), rf"There is no (release {NOBODY}|store)")
    one_line(recsvc("recommend", "item/1", "--store", ring.dataset), r"No release of .* is active")
    one_line(recsvc("publish", ring.run, "--store", tmp_path / "file"), r"cannot be changed")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_real_process(recsvc, recsvc_process, ring, tmp_path, one_line):
    arguments = ("recommend", "item/1", "Zoë 🎬", "--store", ring.store, "--json")
    assert recsvc_process(*arguments) == recsvc(*arguments)
    one_line(recsvc_process("recommend", "x", "--store", tmp_path / "missing"), r"There is no store")


def test_a_reader_that_has_gone_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "recsvc.cli", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 1 and done.stderr == b""


def test_our_own_faults_are_not_the_callers(monkeypatch, ring):
    """A bug is not dressed up as a mistake: it escapes with its traceback, which is exit code 1."""
    from recsvc.cli import run

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("recsvc.data.read_dataset", broken)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with pytest.raises(ZeroDivisionError):
        run(["check", str(ring.dataset)])
