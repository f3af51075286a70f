"""BYOL, SwAV and the pair loss learn a few pictures; without their guards against collapse they do not.

What collapses are the projections, at once; the features follow slowly, and lose pictures on the way.
"""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.byol import BYOL
from recsvc.models.image.config import BYOLConfig, EncoderConfig, PairConfig, SwAVConfig
from recsvc.models.image.pair import PairContrast
from recsvc.models.image.swav import SwAV
from recsvc.models.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURES, STEPS = 64, 60


def pictures():
    coarse = torch.randn(PICTURES, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


def view(generator, noise):
    """All pictures, moved by up to a pixel, with noise."""
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return pictures().roll(shift, (2, 3)) + noise * torch.randn(PICTURES, 3, 16, 16, generator=generator)


def found(method):
    """Share of noisier views whose picture is found by another one, four times over."""
    generator = torch.Generator().manual_seed(9)
    method.eval()
    with torch.no_grad():
        views = [F.normalize(method.backbone(view(generator, 0.6))) for _ in range(5)]
    matches = [(a @ b.T).argmax(dim=1) == torch.arange(PICTURES) for a, b in pairwise(views)]
    return float(torch.cat(matches).float().mean())


def trained(kind, config):
    """The share found, and the spread of projections, after some steps."""
    torch.manual_seed(3)
    method = kind(*build_backbone(EncoderConfig(width=4), 16), config)
    assert found(method) < 0.4, "the untrained network would do"
    method.train()
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=5e-3)
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        progress = Progress(step, STEPS, step / 10)
        optimiser.zero_grad()
        method([view(generator, 0.3), view(generator, 0.3)]).backward()
        method.before_update(progress)
        optimiser.step()
        method.after_update(progress)
    return found(method), method.diagnostics()


def byol(**settings):
    return trained(BYOL, BYOLConfig(hidden=64, projection=16, **{"momentum": 0.9, **settings}))


def swav():
    return trained(SwAV, SwAVConfig(prototypes=32, hidden=64, projection=16, freeze_epochs=1))


def pair(**settings):
    return trained(PairContrast, PairConfig(projection=16, **settings))


def test_byol_needs_its_predictor_and_its_target():
    share, figures = byol()
    assert share > 0.7 and figures["projection_spread"] > 0.8
    _, flatter = byol(predictor=False)
    assert flatter["projection_spread"] < 0.7 * figures["projection_spread"]
    worse, flat = byol(predictor=False, momentum=0, anneal=False)
    assert worse < share - 0.15 and flat["projection_spread"] < 0.3


def test_a_fixed_random_target_teaches_something():
    share, _ = byol(momentum=1)
    assert share > 0.6, "below 0.4 before training"


def test_swav_needs_codes_that_are_even(monkeypatch):
    share, figures = swav()
    assert share > 0.7 and figures["prototype_information"] > 1.5
    monkeypatch.setattr("recsvc.models.image.swav.sinkhorn", lambda scores, epsilon, _: (scores / epsilon).softmax(1))
    worse, flat = swav()
    assert worse < share - 0.15
    assert flat["prototype_information"] < 1 and flat["prototype_dead_share"] > 0.8


def test_pairs_need_dissimilar_ones():
    share, figures = pair()
    assert share > 0.7 and figures["projection_spread"] > 0.4
    worse, flat = pair(margin=1e-9)
    assert worse < share - 0.15 and flat["projection_spread"] < 0.3
