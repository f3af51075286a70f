"""SwAV: the swapped loss, one forward a resolution, prototypes that freeze, and the queue."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recsvc.metrics.representation import prototype_use
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig, SwAVConfig
from recsvc.models.image.projections import unit
from recsvc.models.image.sinkhorn import sinkhorn
from recsvc.models.image.swav import SwAV, swapped_loss
from recsvc.models.image.swav_queue import ProjectionQueue
from recsvc.models.progress import Progress


def make_model(**settings):
    torch.manual_seed(0)
    settings = {"prototypes": 9, "hidden": 24, "projection": 6, "freeze_epochs": 0} | settings
    return SwAV(*build_backbone(EncoderConfig(width=4), 16), SwAVConfig(**settings))


def make_views(count=6, small=0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    full = torch.randn(2, count, 3, 16, 16, generator=generator).unbind()
    return [*full, *torch.randn(small, count, 3, 8, 8, generator=generator).unbind()]


def train_step(model, optimiser, views, progress):
    optimiser.zero_grad()
    model(views).backward()
    model.before_update(progress)
    optimiser.step()
    model.after_update(progress)


def plain_loss(scores, codes, temperature):
    """Picture by picture, code by code, view by view."""
    total = 0.0
    for b in range(len(scores[0])):
        for i in (0, 1):
            for v, each in enumerate(scores):
                if v == i:
                    continue
                exponentials = [math.exp(score / temperature) for score in each[b].tolist()]
                shares = [value / sum(exponentials) for value in exponentials]
                cross = -sum(q * math.log(p) for q, p in zip(codes[i][b].tolist(), shares, strict=True))
                total += cross / 2 / (len(scores) - 1) / len(scores[0])
    return total


@pytest.mark.parametrize("small", [0, 3])
def test_loss_is_that_of_the_equation(small):
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(2 + small, 5, 4, generator=generator, dtype=torch.float64) * 2 - 1).unbind()
    codes = [sinkhorn(each, 0.05) for each in scores[:2]]
    np.testing.assert_allclose(swapped_loss(scores, codes, 0.1).item(), plain_loss(scores, codes, 0.1))


def test_equal_scores_are_stuck_at_ln_k():
    scores = [torch.zeros(8, 300)] * 3
    assert swapped_loss(scores, [sinkhorn(each, 0.05) for each in scores[:2]], 0.1).item() == pytest.approx(
        5.704, abs=5e-4
    )


def test_equal_features_cannot_get_below_ln_k():
    model = make_model()
    first, second = make_views()
    first[:], second[:] = first[:1].clone(), first[:1].clone()
    assert model.eval()([first, second]).item() >= math.log(9) - 1e-5
    assert model.diagnostics()["prototype_information"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("small", [0, 2])
@pytest.mark.parametrize("queued", [False, True])
def test_lightly_has_the_same_loss(small, queued):
    loss = pytest.importorskip("lightly.loss").SwaVLoss()
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(2 + small, 7, 4, generator=generator) * 2 - 1).unbind()
    queue = (torch.rand(2, 5, 4, generator=generator) * 2 - 1).unbind() if queued else None
    codes = [
        sinkhorn(torch.cat([each, queue[view]]) if queued else each, 0.05)[:7] for view, each in enumerate(scores[:2])
    ]
    theirs = loss(list(scores[:2]), list(scores[2:]), queue_outputs=queue)
    torch.testing.assert_close(swapped_loss(scores, codes, 0.1), theirs.squeeze(), rtol=1e-4, atol=1e-5)


def test_the_loss_of_a_batch_has_full_and_small_views():
    model, views = make_model().eval(), make_views(small=3)
    loss = model(views)
    with torch.no_grad():
        scores = [unit(model.projector(model.backbone(view))) @ model.prototypes.weight.T for view in views]
    assert loss.item() == pytest.approx(plain_loss(scores, [sinkhorn(s, 0.05) for s in scores[:2]], 0.1), abs=1e-4)


def test_views_of_one_size_share_a_forward_and_all_share_the_projector():
    model, seen = make_model(), []
    model.backbone.register_forward_hook(lambda module, args, out: seen.append(tuple(args[0].shape)))
    model.projector.register_forward_hook(lambda module, args, out: seen.append(tuple(args[0].shape)))
    model(make_views(small=3))
    assert seen == [(12, 3, 16, 16), (18, 3, 8, 8), (30, 32)]


def test_codes_have_no_gradient_and_all_else_has():
    model = make_model()
    model(make_views(small=1)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    frozen, views = make_model().eval(), make_views()
    loss = frozen(views)
    with torch.no_grad():
        codes = [sinkhorn(unit(frozen.projector(frozen.backbone(v))) @ frozen.prototypes.weight.T, 0.05) for v in views]
    scores = [unit(frozen.projector(frozen.backbone(view))) @ frozen.prototypes.weight.T for view in views]
    wanted = torch.autograd.grad(swapped_loss(scores, codes, 0.1), frozen.prototypes.weight)
    torch.testing.assert_close(torch.autograd.grad(loss, frozen.prototypes.weight), wanted)


def test_head_is_the_papers():
    kinds = [module for module in make_model().projector.modules() if not list(module.children())]
    assert [type(kind) for kind in kinds] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.Identity]
    assert kinds[0].bias is not None and kinds[3].bias is not None
    assert make_model().prototypes.bias is None


def test_frozen_prototypes_stay_bit_equal_and_then_move_at_length_one():
    model = make_model(freeze_epochs=1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    start = model.prototypes.weight.detach().clone()
    torch.testing.assert_close(start.norm(dim=1), torch.ones(9))
    for step in range(4):
        train_step(model, optimiser, make_views(seed=step), Progress(step, 8, step / 4))
    assert torch.equal(model.prototypes.weight, start)
    assert not torch.equal(model.projector.output.weight, make_model().projector.output.weight)
    for step in range(4, 8):
        train_step(model, optimiser, make_views(seed=step), Progress(step, 8, step / 4))
        assert not torch.allclose(model.prototypes.weight, start, atol=1e-3)
        torch.testing.assert_close(model.prototypes.weight.norm(dim=1), torch.ones(9))


def push(queue, *rows):
    for value in rows:
        queue.push(torch.full((2, 1), float(value)), torch.full((2, 1), float(-value)))


def test_queue_keeps_the_newest_rows_of_each_view():
    queue = ProjectionQueue(5, 1)
    push(queue, 1, 2)
    assert not queue.full
    push(queue, 3)
    assert queue.full, "six rows were seen, one twice as many as fit is kept"
    assert sorted(queue.share(0)[:, 0].tolist()) == [1, 2, 2, 3, 3]
    assert sorted(queue.share(1)[:, 0].tolist()) == [-3, -3, -2, -2, -1]
    queue.push(torch.arange(7.0).unsqueeze(1), torch.arange(7.0).unsqueeze(1))
    assert sorted(queue.share(0)[:, 0].tolist()) == [2, 3, 4, 5, 6]


def test_queue_fills_from_its_epoch_and_is_used_when_full():
    model, plain = make_model(queue=15, queue_from_epoch=1), make_model()
    for step in range(6):
        views, progress = make_views(seed=step), Progress(step, 6, step / 2)
        # It may fill from step 2 on and is full after step 4, with 18 rows seen.
        assert int(model.queue.seen) == max(0, step - 2) * 6
        assert torch.equal(model(views), plain(views)) == (step < 5)
        model.after_update(progress)
        plain.after_update(progress)


def test_queue_takes_part_in_the_assignment_and_not_in_the_loss():
    model = make_model(queue=12).eval()
    old = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(5))
    model.queue.push(unit(old[0]), unit(old[1]))
    assert model.queue.full
    views = make_views()
    loss = model(views)
    with torch.no_grad():
        scores = [unit(model.projector(model.backbone(view))) @ model.prototypes.weight.T for view in views]
        codes = [
            sinkhorn(torch.cat([each, unit(old[view]) @ model.prototypes.weight.T]), 0.05)[:6]
            for view, each in enumerate(scores)
        ]
    assert loss.item() == pytest.approx(plain_loss(scores, codes, 0.1), abs=1e-4)


def test_queue_is_saved_and_restored():
    model, other = (make_model(queue=10, queue_from_epoch=0) for _ in range(2))
    for step in range(2):
        model(make_views(seed=step))
        model.after_update(Progress(step, 9, 0.0))
    views = make_views(seed=7)
    assert model.eval()(views) != other.eval()(views)
    other.load_state_dict(model.state_dict())
    assert model(views) == other(views)
    for each in (model, other):
        each.after_update(Progress(2, 9, 0.0))
    assert torch.equal(model.queue.rows, other.queue.rows) and model.queue.seen == other.queue.seen


def test_losses_are_float32_and_finite_under_autocast():
    model = make_model(queue=6, queue_from_epoch=0, epsilon=0.01)
    for step in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(make_views(seed=step))
        model.after_update(Progress(step, 2, 0.0))
        assert loss.dtype == torch.float32 and loss.isfinite()
        assert model.queue.rows.dtype == torch.float32


def test_diagnostics_are_of_scores():
    model, views = make_model().eval(), make_views()
    assert model.diagnostics() == {}
    model(views)
    figures = model.diagnostics()
    with torch.no_grad():
        scores = torch.cat([unit(model.projector(model.backbone(v))) @ model.prototypes.weight.T for v in views])
    use = prototype_use(scores.numpy(), temperature=0.1)
    assert figures["prototype_entropy"] == pytest.approx(use.entropy_of_mean, abs=1e-4)
    assert figures["prototype_mean_entropy"] == pytest.approx(use.mean_entropy, abs=1e-4)
    assert figures["prototype_information"] == pytest.approx(use.information, abs=1e-4)
    used = len(set(scores.argmax(dim=1).tolist()))
    assert figures["prototype_dead_share"] == pytest.approx(1 - used / 9)
    # Of 50 prototypes twelve views can use twelve.
    many = make_model(prototypes=50).eval()
    many(views)
    assert many.diagnostics()["prototype_dead_share"] < 1 - 1 / 12 + 1e-9
