"""The image part of the page: rows of look-alikes, confusions, the map of pictures, and diagnostics over time."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from training.report.image import HEALTH, health_charts, label_share_charts
from training.report.look_alikes import Looked, confusion_table, grids
from training.report.picture_map import PictureMap, picture_map
from training.report.thumbnails import picture_address


def look(vectors, labels, gallery, queries, *, judged=True, titles=None, side=16):
    rng = np.random.default_rng(0)
    count = len(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Looked(
        rows=np.arange(count) * 2,
        vectors=unit.astype(np.float32),
        pixels=rng.integers(0, 256, (2 * count, side, side, 3), dtype=np.uint8),
        ids=[f"id {n}" for n in range(count)],
        titles=titles or [None] * count,
        labels=labels,
        gallery=np.asarray(gallery),
        queries=np.asarray(queries),
        judged=judged,
    )


@pytest.fixture
def circle():
    """Vectors at angles; 30 to be found, of two labels in turn, and six that ask."""
    angles = np.radians(np.r_[np.arange(30) * 3.0, [1, 20, 40, 60, 80, 89]])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = [("low",) if n < 15 else ("high",) for n in range(30)]
    labels += [("low",), ("low",), ("low",), ("high",), ("high",), ("low",)]  # the last is wrong all round
    return look(vectors, labels, range(30), range(30, 36))


def decoded(address):
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_thumbnails_are_the_picture_made_smaller():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32] = (200, 30, 30)
    small = decoded(picture_address(pixels, 16))
    assert small.shape == (16, 16, 3)
    assert abs(small[8, 3].astype(int) - (200, 30, 30)).max() < 30 and small[8, 12].max() < 30
    assert decoded(picture_address(pixels, 96)).shape == (64, 64, 3), "never larger"
    assert picture_address(pixels, 16) == picture_address(pixels, 16)


def test_rows_show_the_nearest_and_what_is_right(circle):
    random, worst = grids(circle)
    assert (random.title, worst.title) == ("Look-alikes", "The worst look-alikes")
    assert "among 30 pictures" in random.note and "green" in random.note
    assert len(random.content) == len(worst.content) == 4
    first = worst.content[0]
    assert (first.query.name, first.query.below) == ("low", "id 35") and first.query.right is None
    # 89 degrees: 87, 84, 81, ... which are the pictures 29, 28, 27, ...
    assert [near.below for near in first.nearest] == [f"id {n}" for n in (29, 28, 27, 26, 25, 24)]
    assert [near.right for near in first.nearest] == [False] * 6
    assert first.nearest[0].cosine == f"{np.cos(np.radians(2)):.3f}"
    assert decoded(first.query.picture).shape == (16, 16, 3)
    hits = [sum(near.right for near in row.nearest) for row in worst.content]
    assert hits == sorted(hits)


def test_the_picture_belongs_to_the_row():
    """The looked-at pictures are some of all: each must show its own pixels."""
    looked = look(np.eye(9), [("a",)] * 9, range(1, 9), [0])
    for number in range(9):
        own = looked.pixels[2 * number].astype(int).mean(axis=(0, 1))
        assert decoded(looked.picture(number, 96)).mean(axis=(0, 1)) == pytest.approx(own, abs=6)


def test_titles_stand_above_labels():
    looked = look(np.eye(3), [("a", "b"), ("a",), ()], range(3), [0], titles=["Heat", None, None])
    assert [looked.words(n) for n in range(3)] == [("Heat", "a, b"), ("a", "id 1"), ("id 2", "")]


def test_without_labels_the_worst_are_the_loneliest(circle):
    angles = np.radians(np.r_[np.arange(20), [90.0, 10.5]])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    looked = look(vectors, [()] * 22, range(22), range(22), judged=False)
    random, worst = grids(looked)
    assert worst.content[0].query.name == "id 20" and "farthest" in worst.note and "green" not in random.note
    assert all(near.right is None for near in worst.content[0].nearest)
    assert confusion_table(looked) == []


def test_confusions(circle):
    (table,) = confusion_table(circle)
    assert table.columns == ["Queries", "Right among 6", "Instead"]
    rows = {name: [cell.text for cell in cells] for name, cells in table.rows}
    assert list(rows) == ["low", "high"], "the most asked first"
    # Of four times six: 1 and 20 degrees find low alone, 40 degrees five of six (42 and 45 tie by row), 89 none.
    near = [sum(1 for n in nearest if n < 15) for nearest in ([0] * 6, [7] * 6, [13, 14, 12, 15, 11, 16], [29] * 6)]
    assert rows["low"][:2] == ["4", f"{sum(near) / 24:.0%}"] and rows["low"][2].startswith("high ")
    assert rows["high"] == ["2", "100%", ""]


def test_too_few_pictures_make_no_rows_and_no_map():
    looked = look(np.eye(6), [("a",)] * 6, range(6), [0])
    assert grids(looked) == [] and confusion_table(looked) == [] and picture_map(looked) == []


def test_the_map_keeps_pictures_inside_and_apart():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 8)) * 4
    vectors = centres[np.arange(120) % 3] + rng.normal(size=(120, 8))
    labels = [("red", "x") if n % 3 == 0 else ("green",) if n % 3 == 1 else () for n in range(120)]
    looked = look(vectors, labels, range(120), [0])
    (block,) = picture_map(looked)
    drawn = block.content
    assert drawn.groups == [("green", 0), ("red", 1)] and "first label" in block.note
    assert len(drawn.points) == 120 and {point.style for point in drawn.points} == {0, 1, 9}
    shown = [point for point in drawn.points if point.picture]
    assert 3 < len(shown) < 120, "some had no room"
    assert drawn.points[-len(shown) :] == shown, "dots lie below"
    places = np.array([[point.x, point.y] for point in drawn.points])
    assert places.min() >= 0
    assert (places.max(axis=0) <= np.array([PictureMap.width, PictureMap.height]) - PictureMap.side).all()
    corners = np.array([[point.x, point.y] for point in shown])
    for row, corner in enumerate(corners):
        apart = np.abs(np.delete(corners, row, axis=0) - corner).max(axis=1)
        assert apart.min() >= PictureMap.side
    assert drawn.points == picture_map(looked)[0].content.points, "the same again"
    # Neighbours stay neighbours: most of the three nearest on the map are of the same group.
    groups = np.array([point.style for point in drawn.points])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = distances.argsort(axis=1)[:, 1:4]
    assert (groups[nearest] == groups[:, None]).mean() > 0.8


def test_many_labels_share_the_last_colour():
    rng = np.random.default_rng(0)
    for count, last in ((10, "label 9"), (14, "others")):
        labels = [(f"label {n % count}",) for n in range(140)]
        (block,) = picture_map(look(rng.normal(size=(140, 5)), labels, range(140), [0]))
        assert len(block.content.groups) == 10 and block.content.groups[-1] == (last, 9)


def test_the_probe_by_share_of_labels():
    model = {"linear": 0.4, "linear@10%": 0.3, "linear@1%": 0.2, "knn@20": 0.5}
    (block,) = label_share_charts(model, {"untrained": {"linear": 0.3, "linear@1%": 0.1, "linear@10%": 0.2}})
    (chart,) = block.charts
    assert chart.names == ["1%", "10%", "100%"]
    assert [(line.name, line.y) for line in chart.lines] == [("Model", [0.2, 0.3, 0.4]), ("Untrained", [0.1, 0.2, 0.3])]
    assert label_share_charts({"linear": 0.4}, {}) == [] and label_share_charts({"map": 0.4}, {}) == []


def test_diagnostics_over_time(tmp_path):
    assert health_charts(tmp_path) == []
    records = [
        {"step": s, "epoch": s, "validation/spread": 0.2 + s / 10, "validation/view_match": 0.1, "loss": 3.0}
        | {"validation/prototype_dead_share": 0.5}
        for s in (1, 2)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")
    (block,) = health_charts(tmp_path)
    assert [chart.title for chart in block.charts] == [HEALTH["spread"], HEALTH["prototype_dead_share"]]
    assert block.charts[0].lines[0].y == pytest.approx([0.3, 0.4])
