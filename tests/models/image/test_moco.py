"""MoCo against its paper written as loops, its classic failures, and variants that must be worse."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig, MoCoConfig
from recsvc.models.image.ema import update_average
from recsvc.models.image.moco import MoCo, info_nce
from recsvc.models.image.split_norm import SplitNorm
from recsvc.models.progress import Progress

HERE = Progress(0, 1, 0.0)


def rows(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pictures(count, seed=0):
    return rows(count, 3, 16, 16, seed=seed)


def make_model(seed=0, **settings):
    torch.manual_seed(seed)
    return MoCo(*build_backbone(EncoderConfig(width=4), 16), MoCoConfig(**{"queue": 20, "projection": 8} | settings))


def oracle(queries, keys, queue, temperature):
    """Eq. 1 of the paper, one query at a time, in float64."""
    total = 0.0
    queries, keys = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, keys))
    for query, key in zip(queries, keys, strict=True):
        own = math.exp(query @ key / temperature)
        total -= math.log(own / (own + sum(math.exp(query @ other / temperature) for other in queue)))
    return total / len(queries)


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("waiting", [1, 9])
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_loss_equals_the_papers_equation(count, waiting, temperature):
    queries, keys = rows(2, count, 5, dtype=torch.float64)
    queue = F.normalize(rows(waiting, 5, seed=1, dtype=torch.float64), dim=1)
    wanted = oracle(queries.numpy(), keys.numpy(), queue.numpy(), temperature)
    assert info_nce(queries, keys, queue, temperature).item() == pytest.approx(wanted, rel=1e-12)
    single = info_nce(queries.float(), keys.float(), queue.float(), temperature)
    assert single.dtype == torch.float32 and single.item() == pytest.approx(wanted, rel=1e-4)


def test_equal_vectors_give_the_value_of_a_collapse():
    same = F.normalize(torch.ones(1, 8), dim=1)
    found = info_nce(same.repeat(5, 1), same.repeat(5, 1), same.repeat(4096, 1), 0.1).item()
    assert found == pytest.approx(math.log(4097), rel=1e-5) and found == pytest.approx(8.318, abs=5e-4)


def test_half_precision_is_computed_in_single():
    queries, keys = rows(2, 6, 5).bfloat16()
    queue = F.normalize(rows(9, 5), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(queries, keys, queue, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, info_nce(queries.float(), keys.float(), queue, 0.1))


def test_gradient_is_right_and_none_reaches_keys():
    queries, keys = (rows(4, 3, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1))
    queue = F.normalize(rows(7, 3, seed=2, dtype=torch.float64), dim=1)
    assert torch.autograd.gradcheck(lambda q: info_nce(q, keys, queue, 0.5), queries)
    info_nce(queries, keys, queue, 0.5).backward()
    assert keys.grad is None


def test_loss_equals_lightlys():
    lightly = pytest.importorskip("lightly.loss")
    queries, keys = (rows(8, 16, seed=seed).requires_grad_() for seed in (0, 1))
    theirs = lightly.NTXentLoss(temperature=0.2, memory_bank_size=(32, 16))
    theirs(rows(8, 16, seed=2), rows(8, 16, seed=3))  # their bank begins when it is first used
    bank = theirs.memory_bank.bank.clone()
    wanted = theirs(queries, keys.detach())
    found = info_nce(queries, keys, bank, 0.2)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(each, queries) for each in (found, wanted)))


def test_heads_are_those_of_versions_1_and_2():
    for head, kinds in (("linear", [nn.Linear]), ("mlp", [nn.Linear, nn.ReLU, nn.Linear])):
        projector = make_model(head=head).projector
        leaves = [module for module in projector.modules() if not list(module.children())]
        assert [type(module) for module in leaves if not isinstance(module, (nn.Identity, nn.ModuleList))] == kinds
        assert all(module.bias is not None for module in leaves if isinstance(module, nn.Linear))


class Reference:
    """A step in the order of the authors' code: queries, moving average, keys, loss, queue, gradient, optimiser."""

    def __init__(self, model):
        self.query, self.key = model._query_encoder(), model.key_encoder
        self.queue = [key.double().numpy() for key in model.queue.keys]
        self.config = (model.momentum, model.temperature)

    def forward(self, directions, orders):
        momentum, temperature = self.config
        losses, queries = [], [F.normalize(self.query(first), dim=1) for first, _ in directions]
        update_average(self.key, self.query, momentum)
        encoded = []
        for (_, second), order in zip(directions, orders, strict=True):
            with torch.no_grad():
                keys = F.normalize(self.key(second[order]), dim=1)[order.argsort()]
            encoded.append(keys)
        queue = torch.from_numpy(np.stack(self.queue)).float()
        for asked, keys in zip(queries, encoded, strict=True):
            logits = torch.cat([(asked * keys).sum(1, keepdim=True), asked @ queue.T], 1) / temperature
            losses.append(-logits.log_softmax(1)[:, 0].mean())
        for keys in encoded:
            for key in keys.double().numpy():
                self.queue = [*self.queue[1:], key]
        return sum(losses)


@pytest.mark.parametrize("symmetric", [False, True])
def test_training_goes_as_in_the_authors_order_of_a_step(symmetric):
    """Losses, both encoders and the queue over several steps; 20 keys wait, 6 or 12 come at once."""
    settings = {"symmetric": symmetric, "norm_groups": 2, "momentum": 0.7}
    model, other = make_model(**settings), make_model(**settings)
    reference = Reference(other)
    optimisers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 0.1) for m in (model, other)]
    for step in range(5):
        first, second = pictures(6, seed=2 * step), pictures(6, seed=2 * step + 1)
        directions = [(first, second), (second, first)] if symmetric else [(first, second)]
        orders = [torch.randperm(6, generator=torch.Generator().manual_seed(9 * step + i)) for i in range(2)]
        orders = orders[: len(directions)]
        losses = (
            model([first, second], orders[: len(directions)]),
            reference.forward(directions, orders[: len(directions)]),
        )
        torch.testing.assert_close(*losses)
        for loss, optimiser in zip(losses, optimisers, strict=True):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.after_update(HERE)
        queue = model.queue.keys.roll(-int(model.queue.pointer), 0)
        torch.testing.assert_close(queue.double(), torch.from_numpy(np.stack(reference.queue)), rtol=1e-4, atol=1e-5)
    for (name, found), wanted in zip(model.backbone.named_parameters(), other.backbone.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    # The reference averages at the beginning of a step: it is one moving average behind.
    update_average(other.key_encoder, reference.query, 0.7)
    for found, wanted in zip(model.key_encoder.parameters(), other.key_encoder.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_key_encoder_starts_alike_has_no_gradient_and_moves_once_a_step():
    model = make_model(symmetric=True, momentum=0.75)
    start = {name: p.clone() for name, p in model.key_encoder.named_parameters()}
    assert all(torch.equal(p, start[name]) for name, p in model._query_encoder().named_parameters())
    model([pictures(8), pictures(8, 1)]).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.key_encoder.parameters())
    assert all(p.grad is not None for p in model._query_encoder().parameters())
    with torch.no_grad():
        for p in model._query_encoder().parameters():
            p.add_(1)
    assert all(torch.equal(p, start[name]) for name, p in model.key_encoder.named_parameters())
    model.after_update(HERE)
    for name, p in model.key_encoder.named_parameters():
        torch.testing.assert_close(p, start[name] + 0.25)


def test_logits_are_against_the_queue_before_its_keys_come_in():
    model = make_model(momentum=1.0, norm_groups=1)
    views = [pictures(8), pictures(8, 1)]
    before = model.queue.keys.clone()
    loss = model(views)
    assert torch.equal(model.queue.keys, before)
    loss.backward()
    model.after_update(HERE)
    assert not torch.equal(model.queue.keys[:8], before[:8]) and torch.equal(model.queue.keys[8:], before[8:])
    torch.testing.assert_close(model.queue.keys.norm(dim=1), torch.ones(20))
    assert model(views) > loss, "now its own keys are among the negatives"


def test_keys_are_encoded_in_another_order_and_come_back_in_theirs():
    model = make_model(norm_groups=4)
    assert any(isinstance(module, SplitNorm) for module in model.key_encoder.modules())
    view, order = pictures(8), torch.tensor([3, 0, 7, 1, 5, 2, 4, 6])
    keys = model._encode_keys(view, order)
    for part in order.split(2):
        alone = F.normalize(make_model(norm_groups=1).key_encoder(view[part]), dim=1)
        torch.testing.assert_close(keys[part], alone)
    assert not torch.allclose(keys, model._encode_keys(view, torch.arange(8)))


def test_orders_are_drawn_anew_from_the_global_generator():
    model = make_model(momentum=1.0)
    views = [pictures(8), pictures(8, 1)]
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(model(views).item())
    assert losses[0] == losses[1] != losses[2]


def test_without_norms_nothing_is_shuffled():
    tabular = MoCo(nn.Linear(5, 4), 4, MoCoConfig(queue=6, projection=3))
    assert not tabular.shuffles and not make_model(norm_groups=1).shuffles and make_model().shuffles
    assert tabular([rows(4, 5), rows(4, 5, seed=1)]).isfinite()


def test_what_is_served_comes_from_the_query_encoder():
    model = make_model().eval()
    with torch.no_grad():
        for p in model.key_encoder.parameters():
            p.zero_()
    features = model.features(pictures(3))
    torch.testing.assert_close(features, F.normalize(model.backbone(pictures(3)), dim=1))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))


def test_diagnostics_tell_equal_keys():
    model = make_model(symmetric=True)
    assert model.diagnostics() == {}
    model([pictures(8), pictures(8, 1)])
    model.after_update(HERE)
    assert 0.1 < model.diagnostics()["projection_spread"] < 1
    same = pictures(1).expand(8, 3, 16, 16)
    model([same, same])
    assert model.diagnostics()["projection_spread"] < 1e-3


def train(model, steps, first=0, rate=0.05, count=8):
    """A few steps on the same pictures with a little noise; the losses."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate)
    losses = []
    for step in range(first, first + steps):
        torch.manual_seed(step)
        views = [pictures(count) + 0.1 * torch.randn(count, 3, 16, 16) for _ in range(2)]
        loss = model(views)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_update(HERE)
        losses.append(loss.item())
    return losses


def test_resumed_from_its_state_it_goes_on_bit_for_bit():
    whole = make_model(norm_groups=2)
    wanted = train(whole, 6)
    half = make_model(norm_groups=2)
    train(half, 3)
    resumed = make_model(seed=5, norm_groups=2)
    resumed.load_state_dict(half.state_dict())
    assert train(resumed, 3, first=3) == wanted[3:]
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in resumed.state_dict().items())


def test_a_queue_that_is_not_saved_would_be_noticed():
    half, whole = make_model(norm_groups=2), make_model(norm_groups=2)
    train(half, 3)
    wanted = train(whole, 6)[3:]
    state = {name: tensor for name, tensor in half.state_dict().items() if not name.startswith("queue.")}
    resumed = make_model(seed=5, norm_groups=2)
    assert set(resumed.load_state_dict(state, strict=False).missing_keys) == {"queue.keys", "queue.pointer"}
    assert train(resumed, 3, first=3) != wanted


def learnt(**settings):
    """Mean of the last losses, and the share of pictures whose two noisy views find each other by what is served."""
    model = make_model(**{"queue": 64, "projection": 16, "norm_groups": 4, "momentum": 0.99} | settings)
    whole = rows(64, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)

    def view(some):
        return some + 0.3 * torch.randn(len(some), 3, 1, 1) + 0.5 * torch.randn_like(some)

    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.03, momentum=0.9)
    losses = []
    for step in range(120):
        torch.manual_seed(step)
        some = whole[torch.randperm(64)[:16]]
        loss = model([view(some), view(some)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_update(HERE)
        losses.append(loss.item())
    model.eval()
    torch.manual_seed(0)
    with torch.no_grad():
        first, second = (model.features(view(whole)) for _ in range(2))
    found = (first @ second.T).argmax(dim=1) == torch.arange(64)
    return sum(losses[-10:]) / 10, float(found.float().mean())


@pytest.fixture(scope="module")
def whole_method():
    return learnt()


def test_a_few_pictures_are_learnt(whole_method):
    loss, found = whole_method
    assert loss < math.log(65) - 1 and found > 0.8


def test_without_momentum_it_does_not_learn(whole_method):
    """m = 0 fails in the paper too (table 2)."""
    loss, found = learnt(momentum=0.0)
    assert loss > math.log(65) - 0.1 and found < whole_method[1] - 0.1


def test_without_a_queue_it_is_worse(whole_method):
    """One negative at a time."""
    assert learnt(queue=1)[1] < whole_method[1] - 0.1
