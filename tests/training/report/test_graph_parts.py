"""The graph part of the page: curves by training share, links by score, meta-paths, and maps."""

import re

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable
from training.report.graph import f1_charts, link_table, meta_path_table
from training.report.maps import pca, scatter, space_maps
from training.report.parts import Cloud, Scatter


def test_f1_by_training_share():
    model = {"macro_f1@80%": 0.9, "macro_f1@20%": 0.8, "micro_f1@20%": 0.85, "micro_f1@80%": 0.95, "nmi": 0.7}
    ((chart,),) = [block.charts for block in f1_charts(model)]
    assert [(line.name, line.x, line.y) for line in chart.lines] == [
        ("Macro-F1", [20.0, 80.0], [0.8, 0.9]),
        ("Micro-F1", [20.0, 80.0], [0.85, 0.95]),
    ]
    (several,) = f1_charts({"author:macro_f1@20%": 0.8, "venue:macro_f1@20%": 0.7})
    assert [each.title for each in several.charts] == ["F1 of labels of author", "F1 of labels of venue"]
    assert f1_charts({"nmi": 0.7}) == []


def test_links_by_score():
    model = {"link_auc": 0.9, "link_hits@10": 0.5, "cosine_link_auc": 0.8, "nmi": 0.7}
    (table,) = link_table(model, {"degree": {"link_auc": 0.95}, "untrained": {"nmi": 0.1}})
    assert table.columns == ["Model", "Model, by cosine", "Degree"]
    assert [(name, [cell.text for cell in cells]) for name, cells in table.rows] == [
        ("AUC", ["0.9000", "0.8000", "0.9500"]),
        ("Hits@10", ["0.5000", "", ""]),
    ]
    assert [cell.best for cell in table.rows[0][1]] == [False, False, True]
    assert link_table({"nmi": 0.7}, {}) == []


def test_meta_paths():
    paths = [
        {"path": "a-b-a", "tokens": 750, "walks": 100, "dead_ends": [0, 20]},
        {"path": "a-c-a", "tokens": 250, "walks": 50, "dead_ends": [0, 0]},
    ]
    (table,) = meta_path_table(paths)
    assert [(name, [(cell.text, cell.note) for cell in cells]) for name, cells in table.rows] == [
        ("a-b-a", [("100", ""), ("750", "75%"), ("7.5", ""), ("20", "most at hop 2")]),
        ("a-c-a", [("50", ""), ("250", "25%"), ("5.0", ""), ("0", "")]),
    ]
    assert meta_path_table([]) == []


def test_pca_keeps_the_most_variance():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 6)) * [5, 3, 1, 1, 1, 1]).astype(np.float32)
    places = pca(vectors)
    covariance = np.linalg.eigvalsh(np.cov(vectors.T))
    np.testing.assert_allclose(np.cov(places.T), np.diag(covariance[::-1][:2]), atol=1e-3)
    np.testing.assert_array_equal(places, pca(vectors))
    np.testing.assert_allclose(np.abs(pca(-vectors)), np.abs(places), atol=1e-4)


def test_points_stay_in_their_frame_and_keep_their_shape():
    places = np.array([[0, 0], [10, 0], [10, 1]], np.float32)
    chart = Scatter("t", [Cloud("a", places[:1], 0), Cloud("b", places[1:], 1)])
    drawn = [
        tuple(map(float, pair)) for pair in re.findall(r"M([\d.]+) ([\d.]+)h0", "".join(map(chart.path, chart.clouds)))
    ]
    assert len(drawn) == 3
    assert all(0 <= x <= chart.width and 0 <= y <= chart.height for x, y in drawn)
    assert drawn[1][0] - drawn[0][0] == pytest.approx(10 * (drawn[1][1] - drawn[2][1]), rel=0.01)  # y goes up
    assert chart.summary == "Map of points, t: 1 of a, 2 of b."
    lone = Scatter("t", [Cloud("a", places[:1], 0)])
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", lone.path(lone.clouds[0]))


def test_colours_go_to_the_largest_groups():
    groups = [*"aaaabbbbcccddeeff", "no label", "no label"]
    places = np.zeros((len(groups), 2), np.float32)
    clouds = scatter("t", places, groups).clouds
    assert [(cloud.name, len(cloud.places), cloud.style) for cloud in clouds] == [
        ("others", 4, 5), ("a", 4, 0), ("b", 4, 1), ("c", 3, 2), ("d", 2, 3), ("e", 2, 4),
    ]  # fmt: skip
    few = scatter("t", places[:3], ["x", "no label", "x"]).clouds
    assert [(cloud.name, cloud.style) for cloud in few] == [("no label", 5), ("x", 0)]


def test_maps_of_a_space():
    """Two camps that the labels name lie apart; nodes without vectors are left out."""
    rng = np.random.default_rng(0)
    authors = NodeTable(IdIndex.from_ids(map(str, range(60))), labels=("red", "blue") * 30)
    words = NodeTable(IdIndex.from_ids(map(str, range(50))))
    graph = HeteroGraph(("author", "word"), {"author": authors, "word": words}, ())
    vectors = rng.normal(0, 0.1, (110, 8)).astype(np.float32)
    vectors[:60:2, 0] += 1
    vectors[1:60:2, 0] -= 1
    vectors[60:, 1] += 1
    reached = np.arange(110) != 100
    first, second = space_maps(graph, vectors, reached)
    assert [block.title for block in (first, second)] == ["Map of the space: PCA", "Map of the space: t-SNE"]
    assert [chart.title for chart in first.charts] == ["By type", "By label"] and " 109 nodes," in first.note
    for chart in (*first.charts, *second.charts):
        sizes = {cloud.name: len(cloud.places) for cloud in chart.clouds}
        assert sizes == (
            {"author": 60, "word": 49} if "type" in chart.title else {"red": 30, "blue": 30, "no label": 49}
        )
    by_label = {cloud.name: cloud.places for cloud in first.charts[1].clouds}
    red, blue = by_label["red"].mean(axis=0), by_label["blue"].mean(axis=0)
    assert np.linalg.norm(red - blue) > 5 * by_label["red"].std(axis=0).max()
    assert space_maps(graph, vectors, np.arange(110) < 20) == []
    for block in space_maps(graph, vectors, np.arange(110) >= 60):  # nodes without labels
        assert [chart.title for chart in block.charts] == ["By type"]
