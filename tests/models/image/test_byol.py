"""BYOL: its loss, its target's weights and buffers, and what its paper takes away."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.byol import BYOL, byol_loss, repulsion
from recsvc.models.image.config import BYOLConfig, EncoderConfig
from recsvc.models.image.nt_xent import nt_xent
from recsvc.models.progress import Progress


def make_model(**settings):
    torch.manual_seed(0)
    return BYOL(*build_backbone(EncoderConfig(width=4), 16), BYOLConfig(hidden=24, projection=6, **settings))


def make_views(count=6):
    return torch.randn(2, count, 3, 16, 16, generator=torch.Generator().manual_seed(1)).unbind()


def vectors(count=7, dim=4, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    a, b = a.tolist(), b.tolist()
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def drift(model):
    """Give the online network other weights and buffers than the target's, as some steps would."""
    generator = torch.Generator().manual_seed(2)
    for part in (model.backbone, model.projector):
        for tensor in part.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(5)
    return model


def online_state(model):
    return nn.Sequential(model.backbone, model.projector).state_dict()


def test_loss_is_the_squared_distance_of_unit_vectors():
    p, z = vectors(), vectors(seed=1)
    wanted = []
    for a, b in zip(p.numpy(), z.numpy(), strict=True):
        wanted.append(((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum())
    np.testing.assert_allclose(byol_loss(p, z).numpy(), wanted)
    np.testing.assert_allclose(wanted, [2 - 2 * cosine(a, b) for a, b in zip(p, z, strict=True)])
    torch.testing.assert_close(byol_loss(p, 3 * p), torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(byol_loss(p, -p), torch.full((7,), 4.0, dtype=torch.float64))


def test_lightly_has_the_same_loss():
    loss = pytest.importorskip("lightly.loss").NegativeCosineSimilarity()
    p, z = vectors().float(), vectors(seed=1).float()
    torch.testing.assert_close(byol_loss(p, z).mean(), 2 + 2 * loss(p, z))


def test_the_loss_of_a_batch_is_the_mean_of_both_directions():
    model, views = drift(make_model()), make_views()
    loss = model(views)
    p = [model.predictor(model.projector(model.backbone(view))) for view in views]
    z = [model.target[1](model.target[0](view)) for view in views]
    wanted = np.mean([4 - 2 * cosine(p[0][i], z[1][i]) - 2 * cosine(p[1][i], z[0][i]) for i in range(6)])
    same = np.mean([4 - 2 * cosine(p[0][i], z[0][i]) - 2 * cosine(p[1][i], z[1][i]) for i in range(6)])
    assert loss.item() == pytest.approx(wanted, abs=1e-5)
    assert abs(wanted - same) > 1e-3, "each view predicts the other's target"


def test_each_view_has_batch_statistics_of_its_own_in_both_networks():
    model, (first, second) = make_model(), make_views()
    second = 3 * second + 1
    apart = copy.deepcopy(model)
    loss = model([first, second])
    p = apart.predict(first), apart.predict(second)
    z = apart.targets(first), apart.targets(second)
    torch.testing.assert_close(loss, (byol_loss(p[0], z[1]) + byol_loss(p[1], z[0])).mean())
    # In training the target uses the batch and not its averages, which are there for later.
    for name, buffer in model.target.named_buffers():
        if name.endswith("running_mean"):
            buffer.fill_(7.0)
    torch.testing.assert_close(model([first, second]), loss)


def test_heads_are_the_papers_and_the_target_has_no_predictor():
    model = make_model()
    for head, width in ((model.projector, 32), (model.predictor, 6)):
        kinds = [module for module in head.modules() if not list(module.children())]
        assert [type(kind) for kind in kinds] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.Identity]
        assert (kinds[0].in_features, kinds[0].out_features, kinds[3].out_features) == (width, 24, 6)
        assert kinds[0].bias is not None and kinds[3].bias is None
    assert online_state(model).keys() == model.target.state_dict().keys()
    assert all(torch.equal(model.target.state_dict()[name], tensor) for name, tensor in online_state(model).items())


def test_no_gradient_reaches_the_target():
    model = make_model()
    model(make_views()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("target."), name
        assert parameter.requires_grad != name.startswith("target.")


def test_the_target_is_a_moving_average_of_weights_and_buffers():
    model = make_model(momentum=0.9, anneal=False)
    before = {name: tensor.clone() for name, tensor in model.target.state_dict().items()}
    drift(model).after_update(Progress(3, 10, 0.0))
    assert any("running_var" in name for name in before)
    for name, tensor in model.target.state_dict().items():
        online = online_state(model)[name]
        wanted = 0.9 * before[name] + 0.1 * online if tensor.is_floating_point() else online
        torch.testing.assert_close(tensor, wanted, msg=name)
        assert not torch.equal(before[name], tensor)


def test_tau_0_is_the_online_network_and_tau_1_the_first_target():
    copied = drift(make_model(momentum=0, anneal=False))
    copied.after_update(Progress(0, 10, 0.0))
    assert all(torch.equal(copied.target.state_dict()[name], tensor) for name, tensor in online_state(copied).items())
    for anneal in (True, False):
        fixed = make_model(momentum=1, anneal=anneal)
        before = {name: tensor.clone() for name, tensor in fixed.target.state_dict().items()}
        drift(fixed).after_update(Progress(5, 10, 0.0))
        assert all(torch.equal(fixed.target.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("step", "tau"), [(0, 0.8), (25, 0.8 + 0.2 * (1 - math.cos(math.pi / 4)) / 2), (50, 0.9), (100, 1)]
)
def test_tau_rises_to_1_along_a_cosine(step, tau):
    model = make_model(momentum=0.8)
    before = model.target[1].output.weight.clone()
    drift(model).after_update(Progress(step, 100, 0.0))
    wanted = tau * before + (1 - tau) * model.projector.output.weight
    torch.testing.assert_close(model.target[1].output.weight, wanted)


def test_without_predictor_projections_meet_the_target():
    model = make_model(predictor=False).eval()
    view = make_views()[0]
    torch.testing.assert_close(model.predict(view), model.targets(view))
    assert model([view, view]).item() == pytest.approx(0, abs=1e-5)


def test_negatives_are_those_of_the_equation():
    p, same, other = vectors(), vectors(seed=1), vectors(seed=2)
    wanted = []
    for i in range(7):
        total = sum(math.exp(cosine(p[i], same[j]) / 0.3) for j in range(7) if j != i)
        total += sum(math.exp(cosine(p[i], other[j]) / 0.3) for j in range(7))
        wanted.append(2 * 0.3 * math.log(total))
    np.testing.assert_allclose(repulsion(p, same, other, 0.3).numpy(), wanted)


def test_with_negatives_and_no_predictor_the_loss_is_simclrs():
    model, views = make_model(predictor=False, negatives=1.0, temperature=0.4).eval(), make_views()
    z = [model.projector(model.backbone(view)) for view in views]
    torch.testing.assert_close(model(views), 4 + 4 * 0.4 * nt_xent(*z, 0.4))


def test_the_weight_of_negatives_is_linear():
    views = make_views()
    losses = [drift(make_model(negatives=beta)).eval()(views).item() for beta in (0.0, 0.5, 1.0)]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], abs=1e-5)
    assert abs(losses[1] - losses[0]) > 0.01


def test_the_online_encoder_is_what_is_served():
    model = drift(make_model()).eval()
    view = make_views()[0]
    torch.testing.assert_close(model.features(view), nn.functional.normalize(model.backbone(view), dim=1))
    assert not torch.allclose(model.features(view), nn.functional.normalize(model.target[0](view), dim=1), atol=1e-2)


def test_losses_are_float32_under_autocast():
    model, views = make_model(negatives=0.5), make_views()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(views)
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_diagnostics_show_equal_projections():
    model = make_model()
    assert model.diagnostics() == {}
    model(make_views())
    assert model.diagnostics()["projection_spread"] > 0.2
    with torch.no_grad():
        model.projector.output.weight.mul_(0).add_(1)
    model(make_views())
    assert model.diagnostics()["projection_spread"] == pytest.approx(0, abs=1e-3)
