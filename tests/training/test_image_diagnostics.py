"""Figures of two views, and when they make a warning."""

import math
import re

import numpy as np
import pytest

from training.config import Config
from training.image.diagnostics import diagnose, warnings

METHODS = ("pair", "simclr", "moco", "byol", "swav", "i-mix")
START = {"view_match": 0.09, "spread": 0.2, "effective_rank": 36.0, "uniformity": -0.18, "alignment": 0.07}
HEALTHY = START | {"view_match": 0.17, "effective_rank": 31.0, "loss": 4.1}


def views(noise, count=200, dim=16, shared=0.0):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(count, dim)) + shared
    return [(centres + noise * rng.normal(size=(count, dim))).astype(np.float32) for _ in range(2)]


def test_figures_of_good_views():
    found = diagnose(*views(0.01))
    assert set(found) == {"view_match", "spread", "alignment", "uniformity", "effective_rank"}
    assert found["view_match"] == 1 and found["spread"] == pytest.approx(1, abs=0.03)
    assert found["alignment"] < 0.001 and found["uniformity"] < -2.5 and found["effective_rank"] > 15


def test_figures_of_views_that_say_nothing():
    rng = np.random.default_rng(0)
    found = diagnose(*rng.normal(size=(2, 200, 16)))
    assert found["view_match"] < 0.05 and found["alignment"] == pytest.approx(2, abs=0.2)
    first = np.ones((200, 16)) + 1e-4 * rng.normal(size=(200, 16))
    flat = diagnose(first, first)
    assert flat["spread"] < 0.001 and flat["uniformity"] == pytest.approx(0, abs=1e-5)
    assert flat["effective_rank"] < 1.1
    one = diagnose(np.ones((50, 4), np.float32), np.ones((50, 4), np.float32))
    assert one["view_match"] == 1 / 50, "equal vectors find nothing"


def test_scale_does_not_matter():
    first, second = views(0.3)
    stretched = diagnose(first * 7, second * 0.2)
    assert stretched == pytest.approx(diagnose(first, second), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_healthy_figures_make_no_warning(method):
    assert warnings(HEALTHY, method, start=START, stuck_loss=6.236) == []
    assert warnings({}, method) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"spread": 0.01}, r"the vectors of all pictures are nearly one, spread 0\.010"),
        ({"projection_spread": 0.002}, r"the projections of all pictures"),
        ({"effective_rank": 11.0}, r"11\.0 directions, 36\.0 before training"),
        ({"view_match": 0.025}, r"2\.5% of views find their picture, 9\.0% before training"),
        ({"loss": 6.2301}, r"the loss stands at 6\.230"),
        ({"prototype_information": 0.004}, "prototypes tell pictures apart by 0.0040 nats"),
    ],
)
def test_each_sign_makes_one_line_that_says_what_to_do(method, values, said):
    (line,) = warnings(HEALTHY | values, method, start=START, stuck_loss=6.236)
    assert line.startswith(f"image: {method} seems to collapse (") and "\n" not in line
    assert re.search(said, line)
    assert "image." in line.partition("): ")[2], "names a setting"


def test_several_signs_share_a_line():
    values = HEALTHY | {"spread": 0.001, "effective_rank": 1.2, "loss": 0.003}
    (line,) = warnings(values, "byol", start=START, stuck_loss=0.0)
    assert line.count(";") == 2 and "image.byol.predictor" in line


def test_without_a_start_only_flat_vectors_are_known():
    assert warnings({"effective_rank": 11.0, "view_match": 0.02, "spread": 0.3}, "byol") == []
    assert len(warnings({"effective_rank": 1.5}, "byol")) == 1


def test_advice_names_settings_that_exist():
    for method in METHODS:
        (line,) = warnings({"spread": 0.0}, method)
        for path in re.findall(r"image(?:\.[a-z_]+)+", line.partition("): ")[2]):
            value = Config()
            for name in path.split("."):
                assert hasattr(value, name), path
                value = getattr(value, name)


def test_stuck_values_of_the_losses():
    """ln(2N - 1), ln(K + 1), ln K: 1 % away is stuck, a loss that falls is not."""
    for stuck in (math.log(2 * 256 - 1), math.log(4097), math.log(300)):
        assert warnings({"loss": stuck * 0.995}, "swav", stuck_loss=stuck)
        assert not warnings({"loss": stuck * 0.97}, "swav", stuck_loss=stuck)
