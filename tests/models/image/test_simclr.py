"""The heads of SimCLR, its loss on views, and what is served."""

import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig, SimCLRConfig
from recsvc.models.image.heads import Head
from recsvc.models.image.nt_xent import nt_xent
from recsvc.models.image.simclr import SimCLR


def pictures(count, size, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def make_model(**settings):
    return SimCLR(*build_backbone(EncoderConfig(width=4), 16), SimCLRConfig(**settings))


def test_projector_is_that_of_version_1():
    projector = make_model(projection=5).projector
    kinds = [module for module in projector.modules() if not list(module.children())]
    assert [type(module) for module in kinds] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    first, first_norm, _, second, second_norm = kinds
    assert (first.in_features, first.out_features) == (32, 32) and (second.in_features, second.out_features) == (32, 5)
    assert first.bias is None and second.bias is None
    trained = {id(parameter) for parameter in projector.parameters() if parameter.requires_grad}
    assert {id(first_norm.weight), id(first_norm.bias), id(second_norm.weight)} < trained
    assert id(second_norm.bias) not in trained and not second_norm.bias.any()


def test_version_2_has_a_third_layer():
    head = make_model(layers=3, hidden=20).projector
    assert [(block[0].in_features, block[0].out_features) for block in head.blocks] == [(32, 20), (20, 20)]
    assert head.output.in_features == 20


def test_projections_are_centred_in_training():
    z = Head(12, [12], 5, last_norm="scale")(torch.randn(64, 12, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)


def test_features_are_the_backbones_at_length_one():
    model = make_model().eval()
    x = pictures(3, 16)
    features = model.features(x)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    h = model.backbone(x)
    torch.testing.assert_close(features * h.norm(dim=1, keepdim=True), h)


def test_the_loss_is_that_of_both_views_in_one_forward():
    model = make_model(temperature=0.3).eval()
    first, second = pictures(4, 16), pictures(4, 16, seed=1)
    z = [model.projector(model.backbone(view)) for view in (first, second)]
    torch.testing.assert_close(model([first, second]), nt_xent(*z, 0.3))
    model.train()
    alone = [model.projector(model.backbone(view)) for view in (first, second)]
    assert abs(model([first, second]) - nt_xent(*alone, 0.3)) > 1e-4, "both views share the statistics of BatchNorm"


def test_gradients_reach_everything_that_trains():
    model = make_model()
    model([pictures(8, 16), pictures(8, 16, seed=1)]).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
