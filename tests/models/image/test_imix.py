"""i-Mix on its three losses: the papers' equations, what it reduces to, and what it learns."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from recsvc.errors import ConfigError
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.byol import BYOL
from recsvc.models.image.config import BYOLConfig, EncoderConfig, IMixConfig, MoCoConfig
from recsvc.models.image.imix import blend_views, build_imix, mix_anchors
from recsvc.models.image.mixing import Mix, draw_blend, draw_mix, input_mix, mixup
from recsvc.models.image.moco import MoCo
from recsvc.models.image.n_pair import n_pair
from recsvc.models.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")

BASES = ("n-pair", "moco", "byol")
MOCO = MoCoConfig(queue=12, projection=8, momentum=0.9, head="mlp-norm", norm_groups=1)
BYOL_SETTINGS = BYOLConfig(hidden=16, projection=8, momentum=0.9, anneal=False)


def pictures(count, seed=0):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def make_model(base, *, moco=MOCO, **settings):
    torch.manual_seed(0)
    config = IMixConfig.model_validate({"base": base, "projection": 8} | settings)
    return build_imix(*build_backbone(EncoderConfig(width=4), 16), config, moco, BYOL_SETTINGS)


def mixed_loss(model, anchors, others, mix):
    """The loss of given anchors and mixture; MoCo encodes its keys first."""
    if isinstance(model, MoCo):
        others = model._encode_keys(others, torch.arange(len(others)))
    return model.mixed_loss(anchors, others, mix)


def cosines(rows, others):
    rows, others = (each.detach().double().numpy() for each in (rows, others))
    return [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in others] for a in rows]


def test_moco_contrasts_with_the_batchs_keys_and_the_queues():
    model = make_model("moco").eval()
    first, second = pictures(5), pictures(5, seed=1)
    mix = draw_mix(5, 1.0)
    anchors = mixup(first, mix)
    found = mixed_loss(model, anchors, second, mix).item()
    keys = torch.cat([model.key_encoder(second), model.queue.keys])
    table = cosines(model.projector(model.backbone(anchors)), keys)
    expected = 0.0
    for i in range(5):
        weights = [math.exp(cosine / MOCO.temperature) for cosine in table[i]]
        assert len(weights) == 5 + 12
        for label, share in ((i, mix.shares[i].item()), (int(mix.partners[i]), 1 - mix.shares[i].item())):
            expected -= share * math.log(weights[label] / sum(weights)) / 5
    assert found == pytest.approx(expected, rel=1e-4)


def test_byol_predicts_the_mixed_targets():
    model = make_model("byol").eval()
    first, second = pictures(5), pictures(5, seed=1)
    mix = draw_mix(5, 1.0)
    anchors = mixup(first, mix)
    table = cosines(model.predictor(model.projector(model.backbone(anchors))), model.target(second))
    expected = 0.0
    for i in range(5):
        share, partner = mix.shares[i].item(), int(mix.partners[i])
        expected += (2 - 2 * (share * table[i][i] + (1 - share) * table[i][partner])) / 5
    assert model.mixed_loss(anchors, second, mix).item() == pytest.approx(expected, rel=1e-4)


def test_byols_gradient_is_that_of_the_distance_to_mixed_targets():
    """||p - (l z'_i + (1 - l) z'_pi)||^2 differs from the loss by a constant."""
    model = make_model("byol").eval()
    first, second = pictures(5), pictures(5, seed=1)
    mix = draw_mix(5, 1.0)
    unit = partial(nn.functional.normalize, dim=1)
    parameters = list(model.predictor.parameters())
    targets = unit(model.target(second))
    shares = mix.shares.unsqueeze(1)
    aims = shares * targets + (1 - shares) * targets[mix.partners]
    distance = (unit(model.predict(mixup(first, mix))) - aims).square().sum(dim=1).mean()
    expected = torch.autograd.grad(distance, parameters)
    found = torch.autograd.grad(model.mixed_loss(mixup(first, mix), second, mix), parameters)
    torch.testing.assert_close(found, expected)


def test_n_pair_sends_both_views_through_the_trained_encoder_in_one_forward():
    model = make_model("n-pair", temperature=0.3)
    first, second = pictures(6), pictures(6, seed=1)
    mix = draw_mix(6, 1.0)
    anchors = mixup(first, mix)
    z = model.projector(model.backbone(torch.cat([anchors, second]))).chunk(2)
    loss = model.mixed_loss(anchors, second, mix)
    torch.testing.assert_close(loss, n_pair(*z, 0.3, mix))
    alone = [model.projector(model.backbone(view)) for view in (anchors, second)]
    assert abs(loss - n_pair(*alone, 0.3, mix)) > 1e-4, "both views share the statistics of BatchNorm"
    second.requires_grad_()
    assert torch.autograd.grad(model.mixed_loss(anchors, second, mix), second)[0].abs().sum() > 0
    kinds = [type(module) for module in model.projector.modules() if not list(module.children())]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]


@pytest.mark.parametrize("base", BASES)
def test_shares_of_one_and_partners_that_are_oneself_mix_nothing(base):
    model = make_model(base).eval()
    first, second = pictures(5), pictures(5, seed=1)
    alone = mixed_loss(model, first, second, Mix(torch.full((5,), 0.6), torch.arange(5)))
    mix = Mix(torch.ones(5), torch.randperm(5))
    torch.testing.assert_close(mixed_loss(model, mixup(first, mix), second, mix), alone)
    if base != "moco":  # whose own loss has other logits
        torch.testing.assert_close(model.mixed_loss(first, second, None), alone)


def test_moco_with_shares_of_one_is_moco_with_the_batchs_keys_as_negatives():
    model = make_model("moco").eval()
    first, second = pictures(5), pictures(5, seed=1)
    found = mixed_loss(model, first, second, Mix(torch.ones(5), torch.randperm(5)))
    queries = nn.functional.normalize(model.projector(model.backbone(first)), dim=1)
    keys = model._encode_keys(second, torch.arange(5))
    logits = torch.cat([queries @ keys.T, queries @ model.queue.keys.T], dim=1) / MOCO.temperature
    torch.testing.assert_close(found, nn.functional.cross_entropy(logits, torch.arange(5)))


@pytest.mark.parametrize("symmetric", [False, True])
def test_with_alpha_0_moco_is_moco(symmetric):
    settings = MOCO.model_copy(update={"symmetric": symmetric})
    model = make_model("moco", moco=settings, alpha=0)
    base = MoCo(*build_backbone(EncoderConfig(width=4), 16), settings)
    base.load_state_dict(model.state_dict())
    views = [pictures(6), pictures(6, seed=1)]
    orders = [torch.randperm(6) for _ in range(1 + symmetric)]
    assert model(views, orders).equal(base(views, orders))


def test_with_alpha_0_byol_is_one_direction_of_byol():
    model = make_model("byol", alpha=0).eval()
    base = BYOL(*build_backbone(EncoderConfig(width=4), 16), BYOL_SETTINGS).eval()
    base.load_state_dict(model.state_dict())
    first, second = pictures(6), pictures(6, seed=1)
    torch.testing.assert_close(model([first, second]) + model([second, first]), base([first, second]))
    assert abs(model([first, second]) - model([second, first])) > 1e-5


def test_with_alpha_0_n_pair_is_plain():
    model = make_model("n-pair", alpha=0).eval()
    views = [pictures(6), pictures(6, seed=1)]
    z = [model.projector(model.backbone(view)) for view in views]
    torch.testing.assert_close(model(views), n_pair(*z, 0.2))


@pytest.mark.parametrize("base", BASES)
def test_the_order_of_a_batch_does_not_matter(base):
    model = make_model(base)
    first, second = pictures(6), pictures(6, seed=1)
    mix = draw_mix(6, 1.0)
    order = torch.randperm(6)
    moved = Mix(mix.shares[order], order.argsort()[mix.partners[order]])
    found = mixed_loss(model, mixup(first[order], moved), second[order], moved)
    expected = mixed_loss(model, mixup(first, mix), second, mix)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)  # statistics of few values, summed in another order


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_first_view_is_mixed_and_the_second_is_not(base, kind):
    model = make_model(base, kind=kind, alpha=2.0).eval()
    first, second = pictures(5), pictures(5, seed=1)
    torch.manual_seed(3)
    if base == "moco":
        torch.randperm(5)  # the order of its keys
    anchors, mix = mix_anchors(first, model.settings)
    assert mix is not None and mix.shares.min() < 1
    torch.manual_seed(3)
    torch.testing.assert_close(model([first, second]), mixed_loss(model, anchors, second, mix))


@pytest.mark.parametrize("base", BASES)
def test_input_mix_blends_both_views_and_keeps_the_labels(base):
    views = [pictures(5), pictures(5, seed=1)]
    torch.manual_seed(3)
    blended = input_mix(torch.cat(views), draw_blend(10, 2)).chunk(2)
    assert all((a - b).abs().mean() > 0.1 for a, b in zip(views, blended, strict=True))
    torch.manual_seed(3)
    expected = make_model(base, alpha=0).eval()
    model = make_model(base, alpha=0, input_mix=2).eval()
    torch.manual_seed(3)
    torch.testing.assert_close(model(views), expected(blended))
    assert blend_views(views, 0)[0] is views[0]


def test_each_direction_of_a_symmetric_moco_mixes_its_own():
    model = make_model("moco", moco=MOCO.model_copy(update={"symmetric": True})).eval()
    first, second = pictures(5), pictures(5, seed=1)
    torch.manual_seed(3)
    _ = torch.randperm(5), torch.randperm(5)  # the orders of both key sets
    anchors, mix = mix_anchors(first, model.settings)
    expected = mixed_loss(model, anchors, second, mix)
    anchors, other_mix = mix_anchors(second, model.settings)
    expected = expected + mixed_loss(model, anchors, first, other_mix)
    assert not other_mix.shares.equal(mix.shares)
    torch.manual_seed(3)
    torch.testing.assert_close(model([first, second]), expected)


@pytest.mark.parametrize("base", BASES)
def test_gradients_reach_what_trains_and_the_rest_moves_once_a_step(base):
    model = make_model(base)
    model([pictures(8), pictures(8, seed=1)]).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    if base == "n-pair":
        return
    follower = model.key_encoder if base == "moco" else model.target
    before = follower[0].stem[0].weight.clone()
    with torch.no_grad():
        model.backbone.stem[0].weight += 1
    model.after_update(Progress(0, 10, 0.0))
    torch.testing.assert_close(follower[0].stem[0].weight, before + 0.1)
    if base == "moco":
        assert int(model.queue.pointer) == 8


@pytest.mark.parametrize("base", BASES)
def test_losses_are_single_precision_under_autocast(base):
    model = make_model(base)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model([pictures(8), pictures(8, seed=1)])
    assert loss.dtype == torch.float32 and loss.isfinite()


@pytest.mark.parametrize(("base", "kind"), [*((base, "mixup") for base in BASES), ("moco", "cutmix")])
def test_a_few_pictures_are_learnt(base, kind):
    """The unmixed loss falls, and, where others are pushed away, every picture finds its other view."""
    model = make_model(base, kind=kind)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    images = pictures(8)

    def noisy(seed):
        return images + 0.3 * pictures(8, seed=seed)

    @torch.no_grad()
    def plain_loss():
        return mixed_loss(model, noisy(100), noisy(101), Mix(torch.ones(8), torch.arange(8))).item()

    before = plain_loss()
    for step in range(30):
        optimiser.zero_grad()
        model([noisy(2 * step), noisy(2 * step + 1)]).backward()
        optimiser.step()
        model.after_update(Progress(step, 30, 0.0))
    assert plain_loss() < 0.6 * before
    if base != "byol":
        asking, asked = (model.projector(model.backbone(noisy(seed))) for seed in (100, 101))
        assert np.argmax(cosines(asking, asked), axis=1).tolist() == list(range(8))


def test_rows_of_features_can_be_mixed_but_not_cut():
    rows = torch.randn(6, 4)
    anchors, mix = mix_anchors(rows, IMixConfig())
    assert mix is not None
    torch.testing.assert_close(anchors, mixup(rows, mix))
    with pytest.raises(ValueError, match="cutmix cuts pictures"):
        mix_anchors(rows, IMixConfig(kind="cutmix"))


def test_byol_with_negatives_is_refused():
    backbone = build_backbone(EncoderConfig(width=4), 16)
    with pytest.raises(ConfigError, match=r"image\.byol\.negatives"):
        build_imix(*backbone, IMixConfig(base="byol"), MOCO, BYOLConfig(negatives=1.0))
