"""The graph space in the pipeline: prepared whole, trained, judged with its protocol, exported without users."""

import json

import faiss
import numpy as np
import pytest
from safetensors.numpy import load_file

from recsvc.data import IdIndex, make_split, read_dataset
from recsvc.data.graph import HeteroGraph, NodeTable
from recsvc.errors import ConfigError, DatasetError
from training import pipeline
from training.config import load_config
from training.graph.data import load_held_out, prepare_graph
from training.graph.evaluate import judge_labels, label_protocol, labelled_nodes
from training.graph.space import GraphSpace
from training.progress import Reporter
from training.run import Run

QUIET = Reporter(quiet=True)
SMALL = [
    "graph.skip_gram.dim=16",
    "graph.skip_gram.window=3",
    "graph.walks.per_node=20",
    "graph.walks.length=15",
    "runtime.threads=1",
    "runtime.keep_memory=false",
]


def write_groups(folder, *, groups=3, writers=12, papers=90):
    """Writers and words of some groups, who share papers with their own alone; a few nodes are tied to nothing."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    edges = ["source_type,source_id,relation,target_type,target_id"]
    for paper in range(papers):
        group = paper % groups
        for writer in rng.choice(writers, 2, replace=False):
            edges.append(f"paper,p{paper},by,writer,g{group}/{writer}")
        for word in rng.choice(10, 3, replace=False):
            edges.append(f"paper,p{paper},has,word,{group}-{word}")
    nodes = ["node_type,node_id,label"]
    nodes += [f"writer,g{group}/{writer},group {group}" for group in range(groups) for writer in range(writers)]
    nodes += ["writer,nobody,group 0", "word,unsaid,", "paper,p0,good", "paper,p1,bad", "island,i,"]
    (folder / "edges.csv").write_text("\n".join(edges) + "\n", "utf-8")
    (folder / "nodes.csv").write_text("\n".join(nodes) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return write_groups(tmp_path_factory.mktemp("groups") / "dataset")


@pytest.fixture(scope="module")
def run(groups, tmp_path_factory):
    return pipeline.train(groups, tmp_path_factory.mktemp("groups") / "run", config=load_config(overrides=SMALL))


@pytest.fixture(scope="module")
def trio(trio_dataset, trio_settings, tmp_path_factory):
    """A run of the graph space alone, on a data set with interactions."""
    settings = [f"{key}={json.dumps(value)}" for key, value in trio_settings.items()]
    out = tmp_path_factory.mktemp("trio") / "run"
    return pipeline.train(trio_dataset, out, config=load_config(overrides=settings), only=["graph"])


def test_what_the_run_says_of_its_training(run):
    said = json.loads((run.folder / "graph.json").read_text("utf-8"))
    assert [path["path"] for path in said["meta_paths"]] == ["writer-paper-writer", "writer-paper-word-paper-writer"]
    assert said["origin"] == "from writer along each relation and back" and said["not_walked"] == []
    assert said["nodes"] == {
        "writer": {"vectors": 36, "of": 37},
        "word": {"vectors": 30, "of": 31},
        "paper": {"vectors": 90, "of": 90},
        "island": {"vectors": 0, "of": 1},
    }
    tokens = [path["tokens"] for path in said["meta_paths"]]
    assert sum(tokens) == said["tokens"] and tokens[0] == pytest.approx(tokens[1], rel=0.1)


def test_labels_are_read_out_and_links_told(run):
    found = pipeline.evaluate(run)["graph"]
    model, baselines = found["model"], found["baselines"]
    assert model["macro_f1@20%"] > 0.9 and baselines["untrained"]["macro_f1@20%"] < 0.7
    assert model["nmi"] > 0.8 and baselines["untrained"]["nmi"] < 0.5
    assert model["link_auc"] > 0.75 and model["cosine_link_auc"] > 0.75
    assert model["writer:precision@10"] > 0.8 and baselines["untrained"]["writer:precision@10"] < 0.6
    assert {"writer:own_type@10", "paper:own_type@10", "word:own_type@10"} <= set(model)
    assert "precision@10" in found["protocol"]["similarity"]
    assert baselines["untrained"]["link_auc"] == pytest.approx(0.5, abs=0.15)
    assert set(baselines["degree"]) == {"link_auc", "link_ap", "link_mrr", "link_hits@10"}
    protocol = found["protocol"]
    assert protocol["labels"] == "writer: 36 nodes of 3 classes"
    assert protocol["labels_not_judged"] == {
        "paper": "2 labelled nodes with vectors in 2 classes; classification needs two classes of at least 10 nodes"
    }
    assert "LinearSVC" in protocol["classification"] and "best of 10 starts" in protocol["clustering"]
    assert "paper-[by]-writer links hidden from a second training" in protocol["links"]
    assert json.loads(json.dumps(found)) == found


def test_without_hidden_links_there_is_no_second_training(run, monkeypatch):
    config = run.config.model_copy(
        update={
            "graph": run.config.graph.model_copy(
                update={"evaluation": run.config.graph.evaluation.model_copy(update={"hidden_links": 0.0})}
            )
        }
    )
    monkeypatch.setattr("training.graph.space.train_twin", lambda *_: pytest.fail("trained a twin"))
    found = GraphSpace().evaluate(Run(run.folder, config, run.facts), QUIET)
    assert found["protocol"]["links"] == "not judged, as graph.evaluation.hidden_links is 0"
    assert "link_auc" not in found["model"] and list(found["baselines"]) == ["untrained"]


def test_held_out_interactions_are_asked_about_and_never_trained_on(trio, trio_dataset):
    """Also when the graph alone is trained, and the run holds no log."""
    assert not trio.data("behaviour").exists()
    found = GraphSpace().evaluate(trio, QUIET)
    assert "test interactions of the split (user-[interacted]-thing)" in found["protocol"]["links"]
    assert found["model"]["link_auc"] > 0.75 and set(found["baselines"]) == {"untrained", "degree"}

    graph, held_out = HeteroGraph.load(trio.data("graph")), load_held_out(trio.data("graph"))
    log = read_dataset(trio_dataset).log
    split = make_split(log, trio.config.split)
    (relation,) = [each for each in graph.relations if each.key.name == "interacted"]
    trained = set(zip(relation.sources.tolist(), relation.targets.tolist(), strict=True))
    users, things = graph.nodes["user"].ids, graph.nodes["thing"].ids
    expected = [
        (users.row_of(log.users.id_of(user)), things.row_of(log.item_ids.id_of(int(log.items[position]))))
        for user, position in zip(split.test_users.tolist(), split.test_positions.tolist(), strict=True)
    ]
    assert [tuple(pair) for pair in held_out.tolist()] == [pair for pair in expected if pair not in trained]
    assert len(held_out) > 100 and not set(map(tuple, held_out.tolist())) & trained


def test_users_that_no_meta_path_visits_cannot_be_asked_about(trio_dataset, trio_settings, tmp_path):
    settings = [f"{key}={json.dumps(value)}" for key, value in trio_settings.items()]
    config = load_config(overrides=[*settings, "graph.meta_paths=thing-maker-thing"])
    run = pipeline.train(trio_dataset, tmp_path / "run", config=config, only=["graph"])
    said = json.loads((run.folder / "graph.json").read_text("utf-8"))
    assert said["nodes"]["user"]["vectors"] == said["nodes"]["kind"]["vectors"] == 0 < said["nodes"]["maker"]["vectors"]
    found = GraphSpace().evaluate(run, QUIET)
    assert found["protocol"]["links"].startswith(
        "not judged: no walk reaches both ends of any of the test interactions"
    )
    assert "link_auc" not in found["model"]


def test_a_release_has_every_node_with_a_vector_but_no_user(trio, tmp_path):
    folder = tmp_path / "graph"
    folder.mkdir()
    entry = GraphSpace().export(trio, folder)
    table = load_file(folder / "items.safetensors")
    catalogue, graph = trio.catalogue(), HeteroGraph.load(trio.data("graph"))
    tables = GraphSpace().load_model(trio)
    assert entry.count == len(table["vectors"]) == len(table["catalogue_rows"]) and entry.dim == 16
    assert (entry.metric, entry.encoder, entry.max_history, entry.picture) == ("cosine", None, None, None)
    kinds = {catalogue.node_types[catalogue.types[row]] for row in table["catalogue_rows"]}
    assert kinds == {"thing", "maker", "kind"}
    reached = {
        (name, graph.nodes[name].ids.id_of(row))
        for name in kinds
        for row in range(len(graph.nodes[name]))
        if tables.counts[graph.offsets[graph.type_index(name)] + row]
    }
    exported = {(catalogue.node_types[catalogue.types[row]], catalogue.ids[row]) for row in table["catalogue_rows"]}
    assert exported == reached and len(table["catalogue_rows"]) == len(exported)
    for place in (0, 20, entry.count - 1):  # each vector is that of the thing it stands for
        row = table["catalogue_rows"][place]
        name = catalogue.node_types[catalogue.types[row]]
        node = graph.offsets[graph.type_index(name)] + graph.nodes[name].ids.row_of(catalogue.ids[row])
        np.testing.assert_array_equal(table["vectors"][place], tables.vectors[node])
    assert faiss.read_index(str(folder / "similar.faiss")).ntotal == entry.count
    assert GraphSpace().warmup(trio) == {}


def test_a_node_that_no_walk_reaches_gets_no_vector(run, tmp_path):
    folder = tmp_path / "graph"
    folder.mkdir()
    entry = GraphSpace().export(run, folder)
    catalogue, rows = run.catalogue(), set(load_file(folder / "items.safetensors")["catalogue_rows"].tolist())
    assert entry.count == len(rows) == 36 + 30 + 90
    for node_type, node in (("writer", "nobody"), ("word", "unsaid"), ("island", "i")):
        assert catalogue.row(node, node_type) not in {None, *rows}
    assert catalogue.row("g0/0", "writer") in rows


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("graph.meta_paths=writer-word-writer", ConfigError, "hop 1: no relation joins 'writer' and 'word'"),
        ("graph.meta_paths=writer-paper", ConfigError, "go back the same way: writer-paper-writer"),
        ("graph.walks.starts=[papers]", ConfigError, "no node type 'papers'; the nearest is 'paper'"),
        ("graph.directed=[buy]", DatasetError, "graph.directed names 'buy', .* nearest is 'by'"),
        ("graph.directed=[by, has]", ConfigError, "no meta-path can be found that begins and ends at 'writer'"),
    ],
)
def test_what_cannot_be_walked_is_refused_before_anything_is_written(groups, tmp_path, setting, error, message):
    out = tmp_path / "run"
    with pytest.raises(error, match=message):
        pipeline.train(groups, out, config=load_config(overrides=[*SMALL, setting]))
    assert not out.exists()


def test_what_training_shows_as_well_is_not_asked_about(tmp_path):
    """Of three last events, one repeats an earlier one and one is of an item that nothing trains."""
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    events = ["u,a", "u,b", "u,c", "u,d", "u,a", "v,a", "v,b", "v,c", "v,new", "w,a", "w,b", "w,d", "w,c"]
    (dataset / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(events) + "\n", "utf-8")
    edges = ["item,a,of,kind,k", "item,b,of,kind,k", "item,c,of,kind,k", "item,d,of,kind,l"]
    header = "source_type,source_id,relation,target_type,target_id\n"
    (dataset / "edges.csv").write_text(header + "\n".join(edges) + "\n", "utf-8")
    config = load_config(overrides=["split.validation_users=1"])
    prepare_graph(tmp_path / "graph", read_dataset(dataset), config)
    graph, held_out = HeteroGraph.load(tmp_path / "graph"), load_held_out(tmp_path / "graph")
    users, items = graph.nodes["user"].ids, graph.nodes["item"].ids
    assert [(users.id_of(user), items.id_of(item)) for user, item in held_out.tolist()] == [("w", "c")]


def test_the_data_appear_whole_or_not_at_all(trio_dataset, tmp_path, monkeypatch):
    dataset, config = read_dataset(trio_dataset), load_config()
    folder = tmp_path / "graph"
    save = np.save
    with monkeypatch.context() as patch:

        def dying(path, *args, **kwargs):
            if "held_out" in str(path):
                raise KeyboardInterrupt
            save(path, *args, **kwargs)

        patch.setattr(np, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            prepare_graph(folder, dataset, config)
    assert not folder.exists()
    prepare_graph(folder, dataset, config)  # what was left behind is in nobody's way
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]
    assert len(load_held_out(folder)) > 0 and HeteroGraph.load(folder).num_nodes > 0


def labelled(*tables):
    """A graph without edges of types with these labels."""
    nodes = {
        f"t{place}": NodeTable(IdIndex.from_ids(map(str, range(len(labels)))), labels=labels)
        for place, labels in enumerate(tables)
    }
    return HeteroGraph(tuple(nodes), nodes, ())


def test_which_labels_are_judged():
    many = ("x",) * 12 + (None,) + ("y",) * 11 + ("z",) * 9
    graph = labelled(many, ("x",) * 30, (None, None))
    reached = np.ones(graph.num_nodes, np.bool_)
    reached[0] = False
    (nodes,), refused = labelled_nodes(graph, reached)
    assert nodes.node_type == "t0" and nodes.rows.tolist() == [*range(1, 12), *range(13, 24)]
    assert nodes.labels.tolist() == ["x"] * 11 + ["y"] * 11
    assert list(refused) == ["t1", "t2"] and "30 labelled nodes with vectors in 1 classes" in refused["t1"]
    protocol = label_protocol([nodes], refused)
    assert protocol["labels"] == "t0: 22 nodes of 2 classes" and protocol["labels_not_judged"] == refused


def test_figures_name_their_type_where_there_are_several():
    graph = labelled(("x", "y") * 15, ("u", "v") * 15)
    nodes, _ = labelled_nodes(graph, np.ones(60, np.bool_))
    vectors = np.tile(np.array([[1, 0], [0, 1]], np.float32), (30, 1))
    figures = judge_labels(nodes, vectors + np.random.default_rng(0).normal(0, 0.01, (60, 2)).astype(np.float32))
    assert figures["t0:macro_f1@20%"] == figures["t1:micro_f1@80%"] == figures["t0:nmi"] == figures["t1:ari"] == 1.0
    assert all(name.startswith(("t0:", "t1:")) for name in figures)
    assert set(judge_labels(nodes[:1], vectors)) == {name[3:] for name in figures if name.startswith("t0:")}


def test_very_many_labelled_nodes_are_sampled(monkeypatch):
    monkeypatch.setattr("training.graph.evaluate._LABELLED", 40)
    graph = labelled(("x", "y") * 100)
    (nodes,), _ = labelled_nodes(graph, np.ones(200, np.bool_))
    assert len(nodes.rows) == 40 and len(np.unique(nodes.labels)) == 2
