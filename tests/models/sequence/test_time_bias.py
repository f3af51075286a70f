"""Relative time in attention against the formula, one pair of tokens at a time."""

import math

import pytest
import torch
import torch.nn.functional as F

from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel
from recsvc.models.sequence.time_bias import BUCKETS, TimeBias, Times

DAY = 86_400.0


def bucket(seconds):
    return min(128, math.floor(math.log(max(1.0, abs(seconds))) / 0.301))


def test_bias_equals_the_formula():
    bias = TimeBias(2)
    with torch.no_grad():
        bias.weights.normal_()
    tokens = torch.tensor([[0.0, 3.0, 5 * DAY, 5 * DAY]], dtype=torch.float64)
    asked = torch.tensor([[3.0, 9e15]], dtype=torch.float64)
    found = bias(Times(tokens, asked))
    assert found.shape == (1, 2, 2, 4)
    for head in range(2):
        for i in range(2):
            for j in range(4):
                expected = bias.weights[bucket(float(asked[0, i] - tokens[0, j])), head]
                assert found[0, head, i, j] == expected
    assert bucket(1e20) == BUCKETS - 1 and bucket(0) == 0


def make_model(**settings):
    torch.manual_seed(3)
    config = SequenceModelConfig(**{"dim": 8, "layers": 2, "heads": 2, "max_length": 7, "time_bias": True} | settings)
    model = SequenceModel(11, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


KINDS = [
    {"attention": "bidirectional", "question": "mask"},
    {"attention": "bidirectional", "question": "newest"},
    {"attention": "causal", "question": "newest"},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_attention_is_shifted_by_the_bias_of_its_layer(kind):
    """One attention layer by hand, out of the model's own parts."""
    model = make_model(**kind, layers=1, block="post-norm")
    rows, mask = torch.tensor([[4, 2, 0]]), torch.tensor([[True, True, True]])
    then, now = torch.tensor([[0.0, 60.0, 3600.0]], dtype=torch.float64), torch.tensor([2 * DAY], dtype=torch.float64)
    found = model.query(model.embed(rows), mask, times=(then, now))
    tokens, _ = model._with_question(model.embed(rows), mask, None)
    x = model._input(tokens)
    attention = model.blocks[0].attention
    q, k, v = attention._heads(x, None)
    times = torch.cat([then, now[:, None]], dim=1)[0] if kind["question"] == "mask" else then[0]
    logits = (q[0, :, -1:] @ k[0].transpose(-1, -2))[:, 0]
    logits = logits * (8 // 2) ** -0.5
    weights = model.time_biases[0].weights
    shift = torch.stack([weights[bucket(float(now[0] - t))] for t in times], dim=1)
    mixed = torch.stack([torch.softmax(logits[h] + shift[h], 0) @ v[0, h] for h in range(2)]).flatten()
    block = model.blocks[0]
    y = block.attention_norm(x[0, -1] + attention.out(mixed))
    y = block.ffn_norm(y + block.ffn(y))
    torch.testing.assert_close(found[0], model.projection(model.final_norm(y)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_a_row_means_the_same_alone_and_padded_and_asked_in_training(kind):
    model = make_model(**kind)
    rows = torch.tensor([[4, 2, 0]])
    then, now = torch.tensor([[0.0, 60.0, 3600.0]], dtype=torch.float64), torch.tensor([2 * DAY], dtype=torch.float64)
    alone = model.query(model.embed(rows), None, times=(then, now))
    padded = torch.tensor([[7, 7, 4, 2, 0], [1, 2, 3, 4, 5]])
    mask = torch.tensor([[False, False, True, True, True], [True] * 5])
    times = torch.cat([torch.full((1, 2), 5.0, dtype=torch.float64), then], dim=1).expand(2, -1)
    together = model.query(model.embed(padded), mask, times=(times, now.expand(2)))
    torch.testing.assert_close(together[0], alone[0], rtol=1e-4, atol=1e-5)
    if kind["question"] == "newest":  # as a training row whose newest token asks
        asked = torch.cat([then[:, 1:], now[:, None]], dim=1)
        prefix = None if kind["attention"] == "causal" else torch.tensor([3])
        trained = model(rows, None, torch.tensor([2]), causal=True, prefix=prefix, times=Times(then, asked))
    else:
        tokens = torch.cat([rows, torch.tensor([[11]])], dim=1)
        all_times = torch.cat([then, now[:, None]], dim=1)
        columns = torch.tensor([[3]])
        trained = model(tokens, None, torch.tensor([0]), columns=columns, times=Times(all_times, all_times))
    torch.testing.assert_close(trained, alone, rtol=1e-4, atol=1e-5)


def test_the_time_of_the_question_matters_and_must_be_given():
    model = make_model()
    vectors = model.embed(torch.tensor([[4, 2, 0]]))
    then = torch.tensor([[0.0, 60.0, 3600.0]], dtype=torch.float64)
    soon, late = (
        model.query(vectors, None, times=(then, torch.tensor([t], dtype=torch.float64))) for t in (3601.0, 9e7)
    )
    assert not torch.allclose(soon, late)
    with pytest.raises(ValueError, match="give the times"):
        model.query(vectors, None)
    F.mse_loss(soon, late).backward()
    assert (model.time_biases[0].weights.grad != 0).any()
