"""`recsvc export`: vectors and walks of a run in files of other tools, and walks in a file trained on."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from gensim.models import KeyedVectors

from recsvc.cli import run as command
from recsvc.data.graph import HeteroGraph
from recsvc.errors import DatasetError
from training import pipeline
from training.config import load_config
from training.graph.data import node_keys
from training.graph.fit import load_tables
from training.progress import Reporter

QUIET = Reporter(quiet=True)
SMALL = [
    "graph.skip_gram.dim=16",
    "graph.skip_gram.window=3",
    "graph.walks.per_node=3",
    "graph.walks.length=12",
    "graph.walks.starts=[paper]",
    "runtime.threads=1",
    "runtime.keep_memory=false",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Writers with blanks in their names, who wrote papers; a writer and a paper share an id, one node has no edge."""
    folder = tmp_path_factory.mktemp("vectors") / "dataset"
    folder.mkdir()
    rng = np.random.default_rng(0)
    edges = ["source_type,source_id,relation,target_type,target_id"]
    edges += [f"writer,Writer {rng.integers(12)},wrote,paper,p{paper}" for paper in range(40) for _ in range(2)]
    edges += ["writer,same,wrote,paper,same", "writer,same,wrote,paper,p1"]
    (folder / "edges.csv").write_text("\n".join(edges) + "\n", "utf-8")
    (folder / "nodes.csv").write_text("node_type,node_id\nwriter,nobody\npaper,p0\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("vectors") / "run"
    return pipeline.train(dataset, out, config=load_config(overrides=SMALL), reporter=QUIET)


@pytest.fixture(scope="module")
def wanted(run):
    """Vectors by key, of the nodes that have one."""
    tables = load_tables(run.folder / "graph")
    keys = node_keys(HeteroGraph.load(run.data("graph")))
    return {key: tables.vectors[row] for row, key in enumerate(keys) if tables.counts[row]}


def export(run, form, out, space="graph"):
    return command(["export", str(run.folder), "--space", space, "--format", form, "--out", str(out)])


def test_word2vec_files(run, wanted, tmp_path):
    assert (
        "writer:Writer%203" in wanted and "writer:nobody" not in wanted and {"writer:same", "paper:same"} <= set(wanted)
    )
    for form, binary in (("word2vec", True), ("word2vec-text", False)):
        assert export(run, form, tmp_path / form) == 0
        found = KeyedVectors.load_word2vec_format(tmp_path / form, binary=binary)
        assert found.index_to_key == list(wanted)
        assert found.vectors.tobytes() == np.stack(list(wanted.values())).tobytes()


def test_parquet_and_numpy(run, wanted, tmp_path):
    assert export(run, "parquet", tmp_path / "v.parquet") == 0 and export(run, "npy", tmp_path / "v.npy") == 0
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["type", "id", "vector"]
    rows = table.to_pylist()
    assert {"type": "writer", "id": "Writer 3"}.items() <= next(row for row in rows if row["id"] == "Writer 3").items()
    assert np.array([row["vector"] for row in rows], np.float32).tobytes() == np.stack(list(wanted.values())).tobytes()
    assert (tmp_path / "v.ids.txt").read_text("utf-8").splitlines() == list(wanted)
    assert np.load(tmp_path / "v.npy").tobytes() == np.stack(list(wanted.values())).tobytes()


def test_walks_out_and_in(run, dataset, wanted, tmp_path, capsys):
    corpus = tmp_path / "walks.txt"
    assert export(run, "walks", corpus) == 0
    said = run.read_json("graph.json")
    lines = corpus.read_text("utf-8").splitlines()
    assert len(lines) == sum(path["walks"] for path in said["meta_paths"]) == 3 * 41
    assert sum(len(line.split()) for line in lines) == said["tokens"]
    # The same walks in the same order: a training on the file has the same counts, draws and steps.
    settings = [*SMALL, f"graph.corpus={corpus}"]
    again = pipeline.train(dataset, tmp_path / "again", config=load_config(overrides=settings), reporter=QUIET)
    found, first = load_tables(again.folder / "graph"), load_tables(run.folder / "graph")
    assert found.counts.tolist() == first.counts.tolist()
    assert found.vectors.tobytes() == first.vectors.tobytes() and found.outputs.tobytes() == first.outputs.tobytes()
    (path,) = again.read_json("graph.json")["meta_paths"]
    assert path["path"] == f"the walks of {corpus}" and path["tokens"] == said["tokens"] and path["walks"] == len(lines)
    corpus.unlink()
    protocol = pipeline.evaluate(again, reporter=QUIET)["graph"]["protocol"]
    assert "given walks cannot be made again" in protocol["links"]
    assert export(again, "walks", tmp_path / "twice.txt") == 0
    assert (tmp_path / "twice.txt").read_text("utf-8").splitlines() == lines
    assert "walks" in capsys.readouterr().err


def test_walks_of_no_node_are_refused(dataset, tmp_path):
    corpus = tmp_path / "walks.txt"
    corpus.write_text("writer:same paper:same\nwriter:same paper:none\n", "utf-8")
    config = load_config(overrides=[*SMALL, f"graph.corpus={corpus}"])
    with pytest.raises(DatasetError, match=r"walks\.txt:2: the graph has no node 'paper:none'"):
        pipeline.train(dataset, tmp_path / "run", config=config, reporter=QUIET)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("space", "form", "out", "said"),
    [
        ("grpah", "npy", "v.npy", "--space grpah: expected one of behaviour, graph, image"),
        ("graph", "csv", "v.csv", "--format csv: expected one of word2vec, word2vec-text, parquet, npy, walks"),
        ("behaviour", "word2vec", "v", "the space behaviour is not trained here"),
        ("behaviour", "walks", "v", "goes with --space graph"),
        ("graph", "npy", "v.txt", "ends in .npy"),
        ("graph", "word2vec", "taken", "exists already"),
        ("graph", "parquet", "no/such/folder", "there is no folder"),
        ("graph", "walks", "taken", "exists already"),
    ],
)
def test_mistakes_end_with_one_line(run, tmp_path, capsys, space, form, out, said):
    (tmp_path / "taken").write_text("mine", "utf-8")
    assert export(run, form, tmp_path / out, space) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"] and (tmp_path / "taken").read_text() == "mine"


def test_it_is_no_run(tmp_path, capsys):
    assert (
        command(["export", str(tmp_path), "--space", "graph", "--format", "npy", "--out", str(tmp_path / "v.npy")]) == 2
    )
    assert capsys.readouterr().err.count("\n") == 1
