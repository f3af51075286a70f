"""The perceptron as a backbone, and hidden features."""

import torch
from torch import nn

from recsvc.models.image.config import SimCLRConfig
from recsvc.models.image.simclr import SimCLR
from recsvc.models.tabular.masking import mask_features
from recsvc.models.tabular.mlp import MLP


def test_five_layers_of_one_width():
    torch.manual_seed(0)
    encoder = MLP(7, 12)
    kinds = [type(module) for module in encoder.modules() if not list(module.children())]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 5
    assert [layer[0].in_features for layer in encoder.layers] == [7, 12, 12, 12, 12]
    h = encoder(torch.randn(6, 7))
    assert h.shape == (6, 12) and h.min() == 0


def test_any_method_takes_it_as_its_backbone():
    torch.manual_seed(0)
    model = SimCLR(MLP(7, 12), 12, SimCLRConfig(projection=8))
    rows = torch.randn(16, 7)
    model([mask_features(rows), mask_features(rows)]).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    features = model.eval().features(rows)
    assert features.shape == (16, 12)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(16))


def test_features_are_hidden_one_by_one_and_the_rest_stays_as_it_is():
    torch.manual_seed(0)
    rows = torch.randn(4_000, 5)
    masked = mask_features(rows)
    hidden = masked == 0
    assert masked[~hidden].equal(rows[~hidden]), "nothing is scaled up"
    assert abs(hidden.float().mean(dim=0) - 0.2).max() < 0.03
    # Independent of one another: all five at once with probability 0.2^5.
    assert hidden.all(dim=1).float().mean() < 0.004 and not mask_features(rows).equal(masked)
    assert mask_features(rows, 0.0).equal(rows) and not mask_features(rows, 1.0).any()


def test_columns_can_be_left_alone():
    torch.manual_seed(0)
    rows = torch.randn(500, 3)
    masked = mask_features(rows, 0.5, torch.tensor([True, False, True]))
    assert masked[:, 1].equal(rows[:, 1]) and (masked[:, [0, 2]] == 0).any(dim=0).all()
