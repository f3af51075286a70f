"""BERT4Rec against a NumPy forward written straight from the paper, and the properties that serving relies on."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recsvc.models.sequence.bert4rec import BERT4Rec, cloze_loss
from recsvc.models.sequence.config import BERT4RecConfig

V = 11


def make_model(**settings):
    torch.manual_seed(3)
    model = BERT4Rec(V, BERT4RecConfig(**{"dim": 8, "layers": 2, "heads": 2, "max_length": 7} | settings)).eval()
    with torch.no_grad():  # away from the tiny initial values, where every formula looks alike
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x, layer):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def oracle_logits(model, tokens):
    """Logits at every position of one unpadded row of tokens, one head and one token at a time."""
    h, d = model.config.heads, model.config.dim
    n, width = len(tokens), d // h
    positions = model.positions.weight.detach().numpy()
    x = model.items.weight.detach().numpy()[tokens] + np.stack([positions[n - 1 - i] for i in range(n)])
    if model.config.embedding_norm:
        x = layer_norm(x, model.embedding_norm)
    for block in model.blocks:
        q, k, v = np.split(linear(x, block.attention.qkv), 3, axis=-1)
        heads = []
        for j in range(h):
            part = slice(j * width, (j + 1) * width)
            weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
        a = layer_norm(x + linear(np.concatenate(heads, -1), block.attention.out), block.attention_norm)
        x = layer_norm(a + linear(gelu(linear(a, block.ffn[0])), block.ffn[2]), block.ffn_norm)
    p = gelu(linear(x, model.projection[0]))
    if model.config.head_norm:
        p = layer_norm(p, model.projection[2])
    return p @ model.items.weight.detach().numpy()[:V].T + model.bias.detach().numpy()


@pytest.mark.parametrize("norms", [True, False])
def test_forward_equals_the_papers_formulas(norms):
    model = make_model(embedding_norm=norms, head_norm=norms)
    tokens = np.array([4, V, 0, 9, V])
    found = model(torch.from_numpy(tokens)[None], None, torch.tensor([1, 4])).detach().numpy()
    np.testing.assert_allclose(found, oracle_logits(model, tokens)[[1, 4]], rtol=1e-4, atol=1e-5)


def test_scores_of_a_query_equal_the_logits_at_an_appended_mask():
    model = make_model()
    history = torch.tensor([[4, 2, 0]])
    query = model.query(model.items(history), None)
    tokens = np.array([4, 2, 0, V])
    np.testing.assert_allclose(
        model.score(query)[0].detach().numpy(), oracle_logits(model, tokens)[-1], rtol=1e-4, atol=1e-5
    )


def test_a_row_means_the_same_alone_and_padded():
    model = make_model()
    alone = model.query(model.items(torch.tensor([[4, 2, 0]])), None)
    padded = torch.tensor([[7, 7, 4, 2, 0], [1, 2, 3, 4, 5]])  # what stands in padding must not matter
    mask = torch.tensor([[False, False, True, True, True], [True] * 5])
    together = model.query(model.items(padded), mask)
    torch.testing.assert_close(together[0], alone[0], rtol=1e-4, atol=1e-5)


def test_last_column_alone_equals_the_full_last_block():
    model = make_model()
    vectors = torch.randn(3, 6, 8)
    mask = torch.arange(6) >= torch.tensor([[0], [2], [5]])
    full = model.hidden(vectors, mask)[:, -1]
    torch.testing.assert_close(model.hidden(vectors, mask, last_only=True), full, rtol=1e-4, atol=1e-5)


def test_every_token_sees_both_sides():
    model = make_model()
    tokens = torch.tensor([[1, 2, V, 3, 4]])
    before = model(tokens, None, torch.tensor([2]))
    for column in (0, 1, 3, 4):
        changed = tokens.clone()
        changed[0, column] = 9
        assert not torch.allclose(model(changed, None, torch.tensor([2])), before)


def test_only_items_are_classes():
    model = make_model()
    assert model(torch.tensor([[1, V]]), None, torch.tensor([1])).shape == (1, V)
    assert model.item_vectors.shape == (V, 8) and model.mask_token == V


def test_output_weights_are_the_input_embeddings():
    model = make_model()
    names = {name for name, _ in model.named_parameters()}
    assert not any("output" in name or "decoder" in name for name in names)
    loss = cloze_loss(model(torch.tensor([[1, V]]), None, torch.tensor([1])), torch.tensor([5]))
    loss.backward()
    gradient = model.items.weight.grad
    assert gradient is not None and (gradient[5] != 0).any()  # item 5 was never an input


def test_initial_weights_are_truncated_at_two_hundredths():
    model = BERT4Rec(500, BERT4RecConfig(dim=64))
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            assert parameter.abs().max() <= 0.02, name
            assert 0.008 < parameter.std() < 0.0125, name  # sigma 0.02 cut at one sigma has 0.0108


def test_loss_is_the_summed_negative_log_likelihood():
    logits, labels = np.random.default_rng(0).normal(size=(5, V)).astype(np.float32), np.array([0, 3, 3, 10, 1])
    expected = [-math.log(math.exp(row[y]) / sum(map(math.exp, row))) for row, y in zip(logits, labels, strict=True)]
    found = cloze_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found.item() == pytest.approx(sum(expected), rel=1e-5)
    weights = [0.0, 1.0, 2.5, 1.0, 0.5]
    weighted = cloze_loss(torch.from_numpy(logits), torch.from_numpy(labels), torch.tensor(weights))
    assert weighted.item() == pytest.approx(float(np.dot(weights, expected)), rel=1e-5)


def test_gradients_are_right():
    model = make_model().double()
    tokens, targets, labels = torch.tensor([[4, V, 0]]), torch.tensor([1]), torch.tensor([2])
    parameter = model.blocks[0].attention.qkv.weight
    torch.nn.functional.cross_entropy(model(tokens, None, targets), labels).backward()
    step = 1e-6
    for index in [(0, 0), (9, 3), (20, 7)]:  # a weight each of query, key and value
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[index] += sign * step
                values.append(torch.nn.functional.cross_entropy(model(tokens, None, targets), labels).item())
                parameter[index] -= sign * step
        assert parameter.grad is not None
        assert parameter.grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="multiple of heads"):
        BERT4RecConfig(dim=10, heads=3)
