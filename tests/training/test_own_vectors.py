"""The user's own vectors as a space: from the data set folder to answers over HTTP, by the commands."""

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from recsvc.cli import run as command
from recsvc.errors import DatasetError, RunError
from recsvc.releases import Store
from training import fit, pipeline
from training.config import load_config
from training.offline import offline_space
from training.report import write_report
from training.run import Run
from training.spaces import SPACES, spaces_in

COUNT, WIDTH = 60, 5
IDS = [f"item/{n}" for n in range(COUNT - 2)] + ["Zoë 🎬", "-k"]


def make_vectors(seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=(COUNT, WIDTH))).astype(np.float32)


def add_vectors(folder, name, vectors, ids=IDS):
    (folder / "vectors").mkdir(parents=True, exist_ok=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"id": ids, "vector": flat}), folder / "vectors" / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two spaces and no other file; the second, of another width, has lengths that float32 cannot square."""
    folder = tmp_path_factory.mktemp("own") / "dataset"
    add_vectors(folder, "clip-b32", make_vectors())
    return add_vectors(folder, "run", make_vectors(1, scale=1e25)[:40], IDS[:40])


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "run"
    assert command(["train", str(dataset), "--out", str(out), "--set", "runtime.keep_memory=false"]) == 0
    return Run.open(out)


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "store"
    assert command(["publish", str(run.folder), "--store", str(folder), "--activate"]) == 0
    return Store(folder)


@pytest.fixture(scope="module")
def client(store):
    # Its lines of requests come half a second later, into whatever the command line prints then.
    with TestClient(create_app(Settings(store=store.path, log_requests=False))) as client:
        deadline = time.monotonic() + 20
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client


def test_there_is_nothing_to_train(run, dataset, tmp_path, capsys):
    assert set(pipeline.trained_spaces(run)) == {"clip-b32", "run"}
    assert spaces_in(run).keys() == {*SPACES, "clip-b32", "run"}
    assert json.loads((run.folder / "run.json").read_text("utf-8"))["format"] == 2  # a space may be called run
    out = str(tmp_path / "run")
    for resume in ([], ["--resume"]):
        assert command(["train", str(dataset), "--out", out, "--set", "runtime.keep_memory=false", *resume]) == 0
        said = capsys.readouterr().err
        assert ("60 vectors of 5 numbers as they are" in said) != bool(resume)
        assert ("clip-b32: trained already" in said) == bool(resume)


def test_check_lists_the_spaces(dataset, capsys):
    assert command(["check", str(dataset)]) == 0
    said = capsys.readouterr().out
    assert "60 vectors of 5 numbers" in said and "space clip-b32" in said and "space run" in said


def test_evaluation_counts_and_judges_nothing(run, capsys):
    assert command(["evaluate", str(run.folder)]) == 0
    found = run.read_json("evaluation.json")
    assert found["run"]["model"] == {"items_with_vector": 40 / 60} and found["run"]["baselines"] == {}
    assert found["clip-b32"]["model"] == {"items_with_vector": 1.0}
    assert "not trained here" in capsys.readouterr().out


@pytest.mark.parametrize("space", ["clip-b32", "run"])
def test_served_answers_equal_those_of_the_given_vectors(client, run, store, space):
    own = {"clip-b32": make_vectors(), "run": make_vectors(1, scale=1e25)[:40]}[space].astype(np.float64)
    unit = own / np.linalg.norm(own, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    questions = [({"id": IDS[row]}, unit[row], [row]) for row in rng.choice(len(own), 10, replace=False).tolist()]
    for rows in rng.choice(len(own), (10, 3)).tolist():
        questions.append(({"ids": [IDS[row] for row in rows]}, unit[rows].mean(axis=0), rows))
    for vector in rng.normal(size=(10, WIDTH)):
        questions.append(({"vector": vector.tolist()}, vector, []))
    for body, query, without in questions:
        scores = unit @ (query / np.linalg.norm(query))
        scores[without] = -np.inf
        order = np.argsort(-scores)[:7]
        answer = client.post("/v1/similar", json={"space": space, "k": 7, **body})
        assert answer.status_code == 200, answer.text
        assert [item["item_id"] for item in answer.json()["items"]] == [IDS[row] for row in order]
        assert [item["score"] for item in answer.json()["items"]] == pytest.approx(scores[order], abs=1e-5)
        offline = offline_space(run, space).nearest(
            query, 7, types={"item"}, without={("item", IDS[row]) for row in without}
        )
        assert [item_id for (_, item_id), _ in offline] == [IDS[row] for row in order]


def test_filters_and_unknown_ids_are_as_in_other_spaces(client):
    body = {
        "space": "run",
        "ids": [IDS[0], IDS[50], "nobody's"],
        "exclude": [IDS[1]],
        "target_types": ["item"],
        "k": 100,
    }
    answer = client.post("/v1/similar", json=body).json()
    assert answer["unknown"] == [IDS[50], "nobody's"]  # a known item without a vector there, and an unknown one
    assert {item["item_id"] for item in answer["items"]} == set(IDS[2:40])
    refused = client.post("/v1/similar", json={"space": "run", "id": IDS[0], "target_types": ["author"]})
    assert refused.status_code == 422 and "author" in refused.text
    upload = client.post("/v1/similar/image", data={"space": "run"}, files={"image": b"x"})
    assert upload.status_code == 422 and "reads no pictures" in upload.text


def test_the_spaces_are_listed(client):
    spaces = {space["name"]: space for space in client.get("/v1/spaces").json()["spaces"]}
    assert spaces.keys() == {"clip-b32", "run"}
    assert (spaces["run"]["dim"], spaces["run"]["count"], spaces["run"]["metric"]) == (5, 40, "cosine")


def test_the_command_line_answers_alike(client, store, capsys):
    arguments = ["similar", "--store", str(store.path), "--space", "clip-b32", "-k", "4", "--json", "--", "-k"]
    assert command(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    served = client.post("/v1/similar", json={"space": "clip-b32", "ids": ["-k"], "k": 4}).json()
    assert printed["items"] == served["items"] and len(served["items"]) == 4


def test_vectors_go_out_as_they_came_in(run, tmp_path):
    out = tmp_path / "again.parquet"
    assert command(["export", str(run.folder), "--space", "run", "--format", "parquet", "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table["id"].to_pylist() == IDS[:40]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), make_vectors(1, scale=1e25)[:40])


def test_what_export_writes_can_be_brought_back(run, tmp_path):
    folder = tmp_path / "dataset" / "vectors"
    folder.mkdir(parents=True)
    out = folder / "again.parquet"
    assert command(["export", str(run.folder), "--space", "clip-b32", "--format", "parquet", "--out", str(out)]) == 0
    again = pipeline.train(
        tmp_path / "dataset", tmp_path / "run", config=load_config(overrides=["runtime.keep_memory=false"])
    )
    first, second = offline_space(run, "clip-b32"), offline_space(again, "again")
    assert first.things == second.things and np.array_equal(first.vectors, second.vectors)


def test_the_report_shows_them(run, tmp_path):
    page = write_report(run, tmp_path / "report.html").read_text("utf-8")
    assert "not trained here" in page and "What is near in vectors that came with the data set?" in page


def test_beside_trained_spaces(tmp_path, trio_dataset, trio_settings):
    """Own vectors of the graph's items, trained beside a space of the pipeline and added to the run later."""
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    for file in ("items.csv", "edges.csv", "nodes.csv"):
        (dataset / file).write_bytes((trio_dataset / file).read_bytes())
    ids = [f"item/{n}" for n in range(32)]
    add_vectors(dataset, "text", make_vectors()[:32], ids)
    config = load_config(overrides=[f"{key}={value}" for key, value in trio_settings.items()])
    run = pipeline.train(dataset, tmp_path / "run", config=config, only=["graph"])
    assert set(pipeline.trained_spaces(run)) == {"graph"}
    pipeline.train(dataset, tmp_path / "run", only=["text"], resume=True)
    assert set(pipeline.trained_spaces(run)) == {"graph", "text"}
    things = offline_space(run, "text").things
    assert things == [("thing", item_id) for item_id in ids]
    with pytest.raises(RunError, match="--only clip: there is no such space; there are behaviour, graph, image, text"):
        pipeline.train(dataset, tmp_path / "other", config=config, only=["clip"])


def test_items_that_no_other_file_names_join_the_catalogue(tmp_path, trio_dataset, trio_settings):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "images.parquet").write_bytes((trio_dataset / "images.parquet").read_bytes())
    ids = [f"item/{n}" for n in range(20, 40)]  # nine of them have a picture
    add_vectors(dataset, "text", make_vectors()[:20], ids)
    fitted = fit(dataset, tmp_path / "run", settings=trio_settings, quiet=True)
    assert fitted.run.catalogue().num_items == 29 + 11
    assert len(fitted.similar(space="text", id="item/39", k=50).items) == 19
    assert fitted.similar(space="image", id="item/39").unknown == ["item/39"]


def test_bad_vectors_leave_no_run(tmp_path):
    vectors = make_vectors()
    vectors[7] = 0
    add_vectors(tmp_path / "dataset", "clip", vectors)
    with pytest.raises(DatasetError, match=r"clip\.parquet:row 8: the vector is all zeros"):
        pipeline.train(tmp_path / "dataset", tmp_path / "run")
    assert not (tmp_path / "run").exists()
