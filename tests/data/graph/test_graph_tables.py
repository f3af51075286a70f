"""Nodes and edges against a naive reader in dictionaries and lists, and every way in which they can be bad."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data.graph import GraphTables, RelationKey, read_graph
from recsvc.data.problems import Problems

NODES = ["node_type", "node_id", "label", "name"]
EDGES = ["source_type", "source_id", "relation", "target_type", "target_id"]
Row = tuple[str, ...]

FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TYPES = st.sampled_from(["film", "person", "genre of film"])
IDS = st.sampled_from(["1", "2", "Tom Hanks", "é", " ", '"'])


def write(path: Path, header: list[str], rows: list[Row]) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


def read(nodes: Path | None, edges: Path | None) -> tuple[GraphTables | None, list[str]]:
    problems = Problems()
    graph = read_graph(nodes, edges, problems)
    folder = (nodes or edges or Path()).parent
    return graph, [line.removeprefix(f"{folder}/") for line in problems.lines()]


def naive(nodes: list[Row], edges: list[Row]) -> tuple[dict[str, list[str]], dict[Row, list[tuple[str, str]]]]:
    ids: dict[str, list[str]] = {}
    for node_type, node_id, *_ in [*nodes, *(pair for e in edges for pair in (e[:2], e[3:]))]:
        seen = ids.setdefault(node_type, [])
        if node_id not in seen:
            seen.append(node_id)
    lists: dict[Row, list[tuple[str, str]]] = {}
    for source_type, source, relation, target_type, target in edges:
        lists.setdefault((source_type, relation, target_type), []).append((source, target))
    return ids, lists


@FEW
@given(
    nodes=st.lists(st.tuples(TYPES, IDS), unique=True, max_size=8),
    edges=st.lists(st.tuples(TYPES, IDS, st.sampled_from(["likes", "is of"]), TYPES, IDS), min_size=1, max_size=20),
    suffix=st.sampled_from([".csv", ".csv.gz", ".parquet"]),
)
def test_types_nodes_and_edges_keep_the_order_of_the_files(
    tmp_path: Path, nodes: list[Row], edges: list[Row], suffix: str
) -> None:
    listed = [(*node, "", "") for node in nodes]
    known = {node_type for node_type, *_ in nodes}
    if listed:
        edges = [edge for edge in edges if {edge[0], edge[3]} <= known]
    paths: list[Path | None] = []
    for name, header, rows in (("nodes", NODES, listed), ("edges", EDGES, edges)):
        path = tmp_path / f"{name}{suffix}"
        paths.append(path if rows else None)
        if rows and suffix == ".parquet":
            pl.DataFrame(rows, schema=header, orient="row").write_parquet(path)
        elif rows:
            write(path, header, rows)
    graph, problems = read(paths[0], paths[1])
    assert problems == []
    if not listed and not edges:
        assert graph is None
        return
    ids, lists = naive(nodes, edges)
    assert graph is not None
    assert list(graph.node_types) == list(ids)
    assert {name: list(graph.nodes[name].ids) for name in graph.node_types} == ids
    assert [edge.relation for edge in graph.edges] == list(lists)
    for edge in graph.edges:
        assert edge.sources.dtype == edge.targets.dtype == np.int32
        sources = graph.nodes[edge.relation.source_type].ids.ids_of(edge.sources)
        targets = graph.nodes[edge.relation.target_type].ids.ids_of(edge.targets)
        assert list(zip(sources, targets, strict=True)) == lists[edge.relation]
    assert graph.num_nodes == sum(map(len, ids.values()))
    assert graph.num_edges == len(edges)


def test_names_and_labels(tmp_path: Path) -> None:
    rows = [("a", "1", "x", ""), ("b", "1", "", "B one"), ("a", "2", "", ""), ("c", "1", "", "")]
    edges = write(tmp_path / "edges.csv", EDGES, [("a", "3", "r", "b", "1"), ("b", "2", "r", "a", "1")])
    graph, _ = read(write(tmp_path / "nodes.csv", NODES, rows), edges)
    assert graph is not None
    assert list(graph.nodes["a"].ids) == ["1", "2", "3"]
    assert (graph.nodes["a"].labels, graph.nodes["a"].names) == (("x", None, None), None)
    assert (graph.nodes["b"].labels, graph.nodes["b"].names) == (None, ("B one", None))
    assert (graph.nodes["c"].labels, graph.nodes["c"].names) == (None, None)
    assert graph.node_types == ("a", "b", "c")
    assert str(graph.edges[1].relation) == "b-[r]-a"


def test_nodes_alone_and_nothing_at_all(tmp_path: Path) -> None:
    graph, problems = read(write(tmp_path / "nodes.csv", NODES[:2], [("a", "1")]), None)
    assert problems == []
    assert graph is not None
    assert (graph.num_nodes, graph.num_edges, graph.edges) == (1, 0, ())
    assert read(None, None) == (None, [])


def test_integers_in_parquet_are_ids(tmp_path: Path) -> None:
    frame = pl.DataFrame({"source_type": "u", "source_id": [5, 5], "relation": "r", "target_type": "i"})
    frame.with_columns(target_id=pl.Series([7, 6])).write_parquet(tmp_path / "edges.parquet")
    graph, _ = read(None, tmp_path / "edges.parquet")
    assert graph is not None
    assert list(graph.nodes["i"].ids) == ["7", "6"]
    assert graph.edges[0].sources.tolist() == [0, 0]


def test_weights_go_with_their_edges(tmp_path: Path) -> None:
    rows = [
        ("a", "1", "r", "b", "1", "0.5"),
        ("a", "1", "s", "b", "1", "3"),
        ("a", "2", "r", "b", "1", "1e-3"),
        ("a", "1", "r", "b", "1", "2"),
    ]
    for path in (tmp_path / "edges.csv", tmp_path / "edges.parquet"):
        if path.suffix == ".csv":
            write(path, [*EDGES, "weight"], rows)
        else:
            frame = pl.DataFrame(rows, schema=[*EDGES, "weight"], orient="row")
            frame.with_columns(pl.col("weight").cast(pl.Float64)).write_parquet(path)
        problems = Problems()
        graph = read_graph(None, path, problems)
        assert graph is not None and problems.notes == []
        weights = [edge.weights for edge in graph.edges]
        assert weights[0] is not None and weights[0].dtype == np.float32
        assert [each.tolist() for each in weights if each is not None] == [[0.5, np.float32(1e-3), 2], [3]]
    graph, _ = read(None, write(tmp_path / "plain.csv", EDGES, [row[:5] for row in rows]))
    assert graph is not None and [edge.weights for edge in graph.edges] == [None, None]


def test_names_in_parquet_are_texts_or_whole_numbers_and_not_null(tmp_path: Path) -> None:
    names = {"source_type": [7, 7], "relation": ["r", None], "target_type": ["b", "b"]}
    frame = pl.DataFrame({**names, "source_id": ["1", "2"], "target_id": ["1", "1"]})
    for each in (frame, frame.with_columns(pl.col("target_type").cast(pl.Categorical))):
        each.write_parquet(tmp_path / "edges.parquet")
        assert read(None, tmp_path / "edges.parquet")[1] == ["edges.parquet:row 2: relation is empty."]
        each.with_columns(relation=pl.lit("r")).write_parquet(tmp_path / "edges.parquet")
        graph, problems = read(None, tmp_path / "edges.parquet")
        assert graph is not None and problems == []
        assert [edge.relation for edge in graph.edges] == [RelationKey("7", "r", "b")]
    frame.with_columns(relation=pl.Series([0.5, 1.5])).write_parquet(tmp_path / "edges.parquet")
    expected = "edges.parquet: the column 'relation' holds Float64; write text or integers."
    assert read(None, tmp_path / "edges.parquet")[1] == [expected]


def test_nul_bytes_in_a_name_are_replaced_and_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "nodes.csv", NODES, [("a", "1", "", "J\0\0lio"), ("a", "2", "", "Ana")])
    problems = Problems()
    graph = read_graph(path, None, problems)
    assert graph is not None
    assert graph.nodes["a"].names == ("J\ufffd\ufffdlio", "Ana")
    assert problems.notes == ["nodes.csv: 1 value of 'name' had NUL bytes, for which U+FFFD was put."]
    write(path, NODES, [("a", "1", "", ""), ("a", "2\0", "", "")])
    assert read(path, None)[1] == ["nodes.csv:3: node_id contains a NUL byte."]


GOOD = [("author", "1", "", ""), ("paper", "1", "", "")]
EDGE = ("paper", "1", "by", "author", "1")

BAD: dict[str, tuple[list[Row], list[Row], list[str]]] = {
    "unknown type": (
        GOOD,
        [EDGE, ("papers", "1", "by", "author", "1"), ("paper", "1", "by", "Author", "2")],
        [
            "edges.csv:3: source_type 'papers' is not a type of the nodes; the nearest is 'paper'.",
            "edges.csv:4: target_type 'Author' is not a type of the nodes; the nearest is 'author'.",
        ],
    ),
    "a node twice": (
        [*GOOD, ("author", "1", "x", ""), ("paper", "2", "", "")],
        [EDGE],
        ["nodes.csv:4: node_type 'author' node_id '1' is there already, at line 2; list a node once."],
    ),
    "empty ids": (
        [*GOOD, ("author", "", "", ""), ("author", "", "", ""), ("", "3", "", "")],
        [("paper", "", "by", "author", "1"), ("paper", "1", "by", "author", "")],
        [
            "nodes.csv:4: node_id is empty.",
            "nodes.csv:5: node_id is empty.",
            "nodes.csv:6: node_type is empty.",
            "edges.csv:2: source_id is empty.",
            "edges.csv:3: target_id is empty.",
        ],
    ),
    "names that meta-paths could not say": (
        [],
        [
            ("sci-fi", "1", "by", "author", "1"),
            ("paper", "1", "~by", "author", "1"),
            ("paper", "1", "by", "author ", "1"),
            ("paper", "1", "", "author", "1"),
            ("paper", "1", "a>b", "[author]", "1"),
            ("(paper)", "1", "*by", "author (first)", "1"),
        ],
        [
            "edges.csv:2: source_type 'sci-fi' contains '-', which has a meaning in meta-paths; choose another name.",
            "edges.csv:3: relation '~by' contains '~', which has a meaning in meta-paths; choose another name.",
            "edges.csv:4: target_type 'author ' begins or ends with a blank; remove it.",
            "edges.csv:5: relation is empty.",
            "edges.csv:6: relation 'a>b' contains '>', which has a meaning in meta-paths; choose another name.",
            "edges.csv:6: target_type '[author]' contains '[', which has a meaning in meta-paths; choose another name.",
            "edges.csv:7: source_type '(paper)' begins with a star or stands in parentheses",
            "edges.csv:7: relation '*by' begins with a star or stands in parentheses",
        ],
    ),
    "a name that is too long": ([("a" * 600, "1", "", "")], [], ["nodes.csv:2: node_type 'aaaa"]),
    "ragged": (GOOD, [EDGE, EDGE[:4]], ["edges.csv:3: 4 values where the header names 5."]),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_problem_is_named_with_its_line(tmp_path: Path, kind: str) -> None:
    nodes, edges, expected = BAD[kind]
    graph, problems = read(
        write(tmp_path / "nodes.csv", NODES, nodes) if nodes else None,
        write(tmp_path / "edges.csv", EDGES, edges) if edges else None,
    )
    assert graph is None
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


def test_types_are_not_missed_where_the_nodes_could_not_be_read(tmp_path: Path) -> None:
    nodes = write(tmp_path / "nodes.csv", NODES, [("author", "1", "", ""), ("paper", "1")])
    _, problems = read(nodes, write(tmp_path / "edges.csv", EDGES, [EDGE]))
    assert problems == ["nodes.csv:3: 2 values where the header names 4."]


@pytest.mark.parametrize("weight", ["heavy", "-1", "0", "-0.0", "nan", "inf", "-inf", "1e39", "1e-50", ""])
def test_bad_weights_are_named_with_relation_and_line(tmp_path: Path, weight: str) -> None:
    path = write(tmp_path / "edges.csv", [*EDGES, "weight"], [(*EDGE, "1"), (*EDGE, weight)])
    flaw = f"'{weight}' is not a finite number above 0; mend it, or leave the row out."
    if not weight:
        flaw = "is empty; give every row a weight, or leave the column out."
    assert read(None, path) == (None, [f"edges.csv:3: weight of paper-[by]-author {flaw}"])


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), None])
def test_bad_weights_in_parquet(tmp_path: Path, weight: float | None) -> None:
    frame = pl.DataFrame([EDGE, EDGE], schema=EDGES, orient="row")
    frame.with_columns(pl.Series("weight", [1.0, weight])).write_parquet(tmp_path / "edges.parquet")
    (problem,) = read(None, tmp_path / "edges.parquet")[1]
    assert problem.startswith("edges.parquet:row 2: weight of paper-[by]-author ")


def test_missing_columns_name_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "edges.csv", ["source_type", "source", *EDGES[2:]], [EDGE])
    assert read(None, path)[1] == ["edges.csv:1: there is no column 'source_id'; the nearest is 'source'."]
    path = write(tmp_path / "nodes.csv", ["type", "id"], [("a", "1")])
    assert [line.split("; ")[1] for line in read(path, None)[1]] == ["the nearest is 'type'.", "the nearest is 'id'."]


def test_columns_mixed_up_are_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsvc.data.graph.read.MAX_RELATIONS", 20)
    path = write(tmp_path / "edges.csv", EDGES, [(f"u{n}", "user", "likes", "item", "1") for n in range(30)])
    assert read(None, path)[1] == ["edges.csv: source_type has 30 different values; are the columns mixed up?"]


def test_the_key_of_a_relation_reads_like_a_meta_path() -> None:
    assert str(RelationKey("movie", "has_genre", "genre")) == "movie-[has_genre]-genre"


def test_many_bad_rows_are_counted(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    path = write_csv(tmp_path / "edges.csv", EDGES, [("a", "", "r", "b", "1")] * 30)
    _, problems = read(None, path)
    assert len(problems) == 21
    assert problems[-1] == "... and 10 more problems like these."
