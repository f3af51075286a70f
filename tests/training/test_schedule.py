"""Learning rates over a training, against their formulas."""

import math

import pytest

from recsvc.models.progress import Progress
from training.schedule import cosine_after_warmup, cosine_share, stepped_share
from training.sections import LoopConfig


def test_a_cosine_over_all_epochs_times_a_warm_up_in_steps():
    config = LoopConfig(epochs=40, warmup_steps=20, learning_rate=0.01, final_share=0.01)
    assert cosine_after_warmup(config, Progress(0, 800, 0.0)) == pytest.approx(0.01 / 20)
    assert cosine_after_warmup(config, Progress(400, 800, 20.0)) == pytest.approx(0.01 * (0.01 + 0.99 / 2))
    assert cosine_after_warmup(config, Progress(800, 800, 40.0)) == pytest.approx(0.01 * 0.01)


def test_the_cosine_begins_where_the_warm_up_ends():
    assert [cosine_share(step, 100, 4) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert cosine_share(52, 100, 4) == pytest.approx(0.5)
    assert cosine_share(28, 100, 4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert cosine_share(100, 100, 4) == pytest.approx(0) and cosine_share(100, 100, 4, final=0.1) == pytest.approx(0.1)
    assert cosine_share(0, 10, 0) == 1


def test_milestones_are_shares_of_all_steps():
    found = [stepped_share(step, 10, 1, [0.6, 0.8]) for step in range(10)]
    assert found == pytest.approx([1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert stepped_share(0, 10, 5, [0.6]) == pytest.approx(0.2)
