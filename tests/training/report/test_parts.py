"""Figures as tables, curves and charts, from the shapes that the pipeline writes."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report.curves import learning_curves, read_metrics
from training.report.examples import less, percent
from training.report.figures import figure_blocks, headline, tables
from training.report.parts import Facts, HeatMap, Line, LineChart, Table, nice_ticks
from training.report.words import inner, number, said, words

RESULT = {
    "protocol": {"split": "leave-one-out", "baselines": {"item_knn": "cosine"}},
    "model": {"hr@1": 0.1, "ndcg@1": 0.1, "hr@10": 0.4, "ndcg@10": 0.2, "coverage@10": 0.5},
    "baselines": {"popularity": {"hr@1": 0.2, "ndcg@1": 0.2, "hr@10": 0.3, "ndcg@10": 0.25, "coverage@10": 0.9}},
    "breakdown": {
        "history_length": [
            {"bucket": "1-4", "targets": 10, "model": {"ndcg@10": 0.1}, "popularity": {"ndcg@10": 0.2}},
            {"bucket": "5+", "targets": 20, "model": {"ndcg@10": 0.3}, "popularity": {"ndcg@10": 0.1}},
        ]
    },
    "cold_warm": {"cold": {"targets": 0}, "warm": {"targets": 30, "model": {"ndcg@10": 0.2}}},
    "intervals": {
        "level": 0.95,
        "method": "bootstrap",
        "model": {"ndcg@10": {"mean": 0.2, "low": 0.1, "high": 0.3}},
        "best_baseline": "popularity",
        "model_minus_best_baseline": {"ndcg@10": {"mean": -0.05, "low": -0.1, "high": 0.0}},
    },
    "sampled": {"label": "old", "negatives": "100", "model": {"ndcg@10": 0.6}, "popularity": {"ndcg@10": 0.5}},
}


def block(title, blocks):
    (found,) = [each for each in blocks if each.title == title]
    return found


def test_the_blocks_of_a_sequence_model():
    blocks = figure_blocks(RESULT)
    table = block("Test figures", blocks)
    assert [name for name, _ in table.rows] == ["NDCG@1", "NDCG@10", "HR@1", "HR@10", "Coverage@10"]
    assert [[cell.best for cell in cells] for _, cells in table.rows] == [
        [False, True],
        [False, True],
        [False, True],
        [True, False],
        [False, False],  # more coverage is not simply better
    ]
    curves = block("Accuracy by length of the list", blocks)
    assert [line.name for line in curves.legend] == ["Model", "Popularity"]
    assert curves.charts[0].lines[0].x == [1.0, 10.0]
    assert block("95% intervals", blocks).rows[1][0] == "Model minus popularity"
    assert block("95% intervals", blocks).rows[0][1][0].text == "0.2000 [0.1000, 0.3000]"
    (chart,) = block("Where the mean comes from", blocks).charts
    assert chart.names == ["1-4", "5+"] and chart.lines[1].y == [0.2, 0.1]
    assert [name for name, _ in block("Cold and warm targets", blocks).rows] == ["Warm"]
    assert block("Against sampled items", blocks).note == "old. 100"
    rows = [("Split", "leave-one-out"), ("Baselines: item kNN", "cosine")]
    assert blocks[-1] == Facts("Protocol: how these figures were made", rows, folded=True)
    assert block("Test figures", blocks).note == "Leave-one-out."


def test_the_headline_says_when_a_baseline_is_better():
    assert headline(RESULT) == ("NDCG@10", 0.2, "not above the best baseline: popularity 0.2500")
    assert headline({"model": {"own": 1.0}, "baselines": {}}) == ("Own", 1.0, "no baseline")
    assert headline({"model": {}, "baselines": {}}) is None


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ({"a": 1, "b": "x"}, [Facts]),
        ({"a": {"x": 1.0}, "b": {"x": 2.0, "y": None}}, [Table]),
        ([{"path": "a-b", "share": 0.5, "ends": [1, 2]}], [Table]),
        ({"first": [{"n": 1}], "second": [{"n": 2}]}, [Table, Table]),
        ([], []),
        ({}, []),
        ("text", []),
        ([1, 2], []),
        ([{"a": {"b": {"c": 1}}}], []),
    ],
)
def test_shapes_of_unknown_parts(value, kinds):
    assert [type(each) for each in tables("Title", value)] == kinds


def test_words():
    assert [words(key) for key in ("ndcg@10", "by_history_length", "item_knn", "knn@20", "map", "data_sha256")] == [
        "NDCG@10",
        "By history length",
        "Item kNN",
        "kNN@20",
        "mAP",
        "Data SHA-256",
    ]
    assert [inner(key) for key in ("item_knn", "ndcg@10", "popularity")] == ["item kNN", "NDCG@10", "popularity"]
    assert [said(value) for value in (None, True, 3, 0.25, [1, "a"], {"a": 1})] == [
        "",
        "yes",
        "3",
        "0.2500",
        "1, a",
        "a: 1",
    ]
    assert [number(value) for value in (0, 1234567, 1234.5, 157.9, 0.12345, 0.00001)] == [
        "0",
        "1,234,567",
        "1,234",
        "157.9",
        "0.1235",
        "1.0e-05",
    ]


def test_less_and_percent():
    assert [less(drop) for drop in (math.log(2), 0.0, -math.log(1.25), 50.0)] == ["−50%", "0%", "+25%", "−100%"]  # noqa: RUF001
    assert [percent(share) for share in (0.5, 0.0123, 0.0012)] == ["50.0%", "1.2%", "0.12%"]


@given(st.floats(-1e3, 1e3, allow_subnormal=False), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low, size):
    ticks = nice_ticks(low, low + size, 5)
    assert len(ticks) <= 7
    assert all(low - 1e-6 * size <= tick <= low + size * (1 + 1e-6) for tick in ticks)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6, allow_subnormal=False), st.floats(-1e3, 1e3, allow_subnormal=False)),
        min_size=1,
        max_size=30,
    )
)
def test_lines_stay_in_their_frame(points):
    chart = LineChart("t", "step", [Line("a", [x for x, _ in points], [y for _, y in points])])
    places = [float(part) for part in re.findall(r"-?[\d.]+", chart.path(chart.lines[0]))]
    assert len(places) == 2 * len(points)
    assert all(chart.left <= x <= chart.right for x in places[::2])
    assert all(chart.top <= y <= chart.bottom for y in places[1::2])
    assert chart.x_ticks is not None and chart.y_ticks is not None
    assert chart.summary.startswith("Line chart of t by step. a: ")


def test_heat_map_shades():
    found = HeatMap("t", np.array([[0, 1], [0.5, 0]], np.float32), ["a", "b"], ["1", "2"], 1.0, "s")
    assert found.paths == [(0.5, "M0 1h1v1h-1z"), (1.0, "M1 0h1v1h-1z")]
    assert found.older_paths == []


def write(folder, records):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def test_learning_curves(tmp_path):
    records = [
        {"step": s, "epoch": s // 10, "time": 0.0, "loss": 8 - s / 100, "learning_rate": 0.1} for s in range(500)
    ]
    records += [
        {
            "step": s,
            "epoch": s // 10,
            "time": 0.0,
            "validation/ndcg@10": v,
            "validation/hr@10": 2 * v,
            "validation/loss": 6,
        }
        for s, v in ((100, 0.1), (200, 0.3), (300, 0.2))
    ]
    write(tmp_path, records)
    found = learning_curves(tmp_path)
    titles = [chart.title for chart in found.charts]
    assert titles[0] == "Training loss" and "Validation" in titles and "Validation Loss" in titles
    loss = found.charts[0].lines[0]
    assert len(loss.x) <= 240 and loss.y[0] > loss.y[-1] and np.mean(loss.y) == pytest.approx(8 - 2.495, abs=0.02)
    (both,) = [chart for chart in found.charts if chart.title == "Validation"]
    assert [line.name for line in both.lines] == ["NDCG@10", "HR@10"] and both.best == (200, 0.3)


def test_curves_that_are_not_there(tmp_path):
    assert learning_curves(tmp_path) is None
    write(tmp_path, [{"step": 1, "epoch": 1, "time": 0.0, "loss": 1.0}])
    assert learning_curves(tmp_path) is None
    write(tmp_path, [{"step": 1, "epoch": 1, "time": 0.0, "loss": math.nan}, {"step": 2, "epoch": 1, "loss": 2.0}])
    assert read_metrics(tmp_path / "metrics.jsonl") == {"loss": [(2.0, 2.0)]}


def test_curves_without_what_is_shown_elsewhere(tmp_path):
    records = [{"step": s, "epoch": s, "validation/spread": 0.1, "validation/view_match": 0.2} for s in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")
    names = [line.name for chart in learning_curves(tmp_path, {"spread"}).charts for line in chart.lines]
    assert names == ["View match"]
    assert learning_curves(tmp_path, {"spread", "view_match"}) is None


def test_intervals_of_many_metrics_have_a_row_each():
    interval = {"mean": 0.2, "low": 0.1, "high": 0.3}
    metrics = dict.fromkeys(("map", "knn@20", "linear", "precision@10", "recall@10"), interval)
    result = {"protocol": {}, "model": {}, "baselines": {}, "intervals": {"level": 0.95, "model": metrics}}
    table = block("95% intervals", figure_blocks(result))
    assert table.columns == ["Model"] and [name for name, _ in table.rows][:2] == ["mAP", "kNN@20"]
