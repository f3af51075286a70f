"""BERT4Rec against a NumPy forward written straight from the paper, and the properties that serving relies on."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from recsvc.models.sequence.attributes import ItemAttributes, number_values
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel, _causal
from recsvc.models.sequence.softmax import softmax_loss

V = 11


def make_model(attributes=None, **settings):
    torch.manual_seed(3)
    asks = {"question": "newest" if settings.get("attention") == "causal" else "mask"}
    config = SequenceModelConfig(**{"dim": 8, "layers": 2, "heads": 2, "max_length": 7} | asks | settings)
    model = SequenceModel(V, config, attributes).eval()
    with torch.no_grad():  # away from the tiny initial values, where every formula looks alike
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def logits(model, tokens, mask, targets, **options):
    return F.linear(model(tokens, mask, targets, **options), model.item_vectors, model.bias)


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x, layer):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def oracle_attention(x, attention, causal, prefix=0):
    """One head and one token at a time; of a causal row the first ``prefix`` tokens are seen by all."""
    n, d = x.shape
    width = d // attention.heads
    q, k, v = np.split(linear(x, attention.qkv), 3, axis=-1)
    mixed = np.zeros((n, d))
    for j in range(attention.heads):
        part = slice(j * width, (j + 1) * width)
        for i in range(n):
            seen = slice(0, max(i + 1, prefix) if causal else n)
            weights = np.exp(q[i, part] @ k[seen, part].T / math.sqrt(width))
            mixed[i, part] = weights / weights.sum() @ v[seen, part]
    return linear(mixed, attention.out)


def oracle_block(x, block, kind, causal, prefix=0):
    if kind == "post-norm":
        a = layer_norm(x + oracle_attention(x, block.attention, causal, prefix), block.attention_norm)
        return layer_norm(a + linear(gelu(linear(a, block.ffn[0])), block.ffn[2]), block.ffn_norm)
    attended = oracle_attention(layer_norm(x, block.attention_norm), block.attention, causal, prefix)
    if kind == "pre-norm":
        x = x + attended
        return x + linear(gelu(linear(layer_norm(x, block.ffn_norm), block.ffn[0])), block.ffn[2])
    x = x + sigmoid(linear(x, block.attention_gate)) * attended
    gate, up = np.split(layer_norm(x, block.ffn_norm) @ block.ffn.gate_and_up.weight.detach().numpy().T, 2, axis=-1)
    fed = (gate * sigmoid(gate) * up) @ block.ffn.down.weight.detach().numpy().T
    return x + sigmoid(linear(x, block.ffn_gate)) * fed


def oracle_logits(model, tokens, *, causal=None, prefix=0):
    """Logits at every position of one unpadded row of tokens."""
    causal = model.config.causal if causal is None else causal
    config, n = model.config, len(tokens)
    positions = model.positions.weight.detach().numpy()
    x = model.items.weight.detach().numpy()[tokens] + np.stack([positions[n - 1 - i] for i in range(n)])
    if config.embedding_norm:
        x = layer_norm(x, model.embedding_norm)
    for block in model.blocks:
        x = oracle_block(x, block, config.block, causal, prefix)
    if config.block != "post-norm":
        x = layer_norm(x, model.final_norm)
    if config.projection:
        x = gelu(linear(x, model.projection[0]))
    if config.head_norm:
        x = layer_norm(x, model.projection[-1])
    return x @ model.items.weight.detach().numpy()[:V].T + model.bias.detach().numpy()


KINDS = [
    {"block": block, "attention": attention, "projection": projection}
    for block in ("post-norm", "pre-norm", "ligr")
    for attention, projection in (("bidirectional", True), ("causal", False))
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_kind_equals_its_formulas(kind):
    model = make_model(**kind)
    tokens = np.array([4, 3, 0, 9, 3])
    found = logits(model, torch.from_numpy(tokens)[None], None, torch.arange(5), causal=model.config.causal)
    np.testing.assert_allclose(found.detach().numpy(), oracle_logits(model, tokens), rtol=2e-4, atol=1e-4)
    # the same in a row with padding, whatever stands there, and what is asked at the end
    padded = torch.tensor([[7, 7, *tokens], [1, 2, 3, 4, 5, 6, 7]])
    mask = torch.tensor([[False] * 2 + [True] * 5, [True] * 7])
    found = logits(model, padded, mask, torch.arange(2, 7), causal=model.config.causal)
    np.testing.assert_allclose(found.detach().numpy(), oracle_logits(model, tokens), rtol=2e-4, atol=1e-4)
    rows, real = (padded, mask) if model.config.causal else (padded[:, :6], mask[:, :6])
    scores = model.score(model.query(model.embed(rows), real))[0].detach().numpy()
    asked = rows[0, 2:].numpy() if model.config.causal else np.append(rows[0, 2:], V)
    np.testing.assert_allclose(scores, oracle_logits(model, asked)[-1], rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("block", ["post-norm", "pre-norm", "ligr"])
def test_a_prefix_is_seen_by_all_of_its_row(block):
    model = make_model(block=block, question="newest")
    tokens = np.array([4, 3, 0, 9, 3])
    padded = torch.tensor([[7, 7, *tokens], [1, 2, 3, 4, 5, 6, 7], [7, 7, *tokens]])
    mask = torch.tensor([[False] * 2 + [True] * 5, [True] * 7, [False] * 2 + [True] * 5])
    prefix = torch.tensor([3, 6, 0])
    targets = torch.cat([torch.arange(2, 7), torch.arange(16, 21)])
    found = logits(model, padded, mask, targets, causal=True, prefix=prefix).detach().numpy()
    np.testing.assert_allclose(found[:5], oracle_logits(model, tokens, causal=True, prefix=3), rtol=2e-4, atol=1e-4)
    np.testing.assert_allclose(found[5:], oracle_logits(model, tokens, causal=True), rtol=2e-4, atol=1e-4)
    unpadded = torch.from_numpy(tokens)[None]
    alone = logits(model, unpadded, None, torch.arange(5), causal=True, prefix=torch.tensor([3]))
    np.testing.assert_allclose(alone.detach().numpy(), found[:5], rtol=2e-4, atol=1e-4)
    # The newest of a prefix asks what it asks at serving time.
    query = model.query(model.embed(torch.from_numpy(tokens)[None]), None)
    whole = logits(model, unpadded, None, torch.tensor([4]), causal=True, prefix=torch.tensor([5]))
    torch.testing.assert_close(model.score(query), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_the_columns_that_ask_equal_the_full_last_block(kind):
    model = make_model(**kind)
    vectors, mask = torch.randn(3, 6, 8), torch.arange(6) >= torch.tensor([[0], [2], [5]])
    causal = model.config.causal
    full = model.hidden(vectors, mask, causal=causal)
    torch.testing.assert_close(
        model.hidden(vectors, mask, causal=causal, last_only=True), full[:, -1], rtol=1e-4, atol=1e-5
    )
    if not causal:
        columns = torch.tensor([[5, 0], [3, 4], [5, 5]])
        found = model.hidden(vectors, mask, columns=columns)
        expected = torch.stack([full[row][columns[row]] for row in range(3)])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", ["post-norm", "pre-norm", "ligr"])
def test_a_causal_token_sees_nothing_newer(block):
    model = make_model(attention="causal", block=block)
    tokens = torch.tensor([[1, 2, 5, 3, 4]])
    before = model(tokens, None, torch.arange(5), causal=True)
    changed = tokens.clone()
    changed[0, 3] = 9
    after = model(changed, None, torch.arange(5), causal=True)
    torch.testing.assert_close(before[:3], after[:3])
    assert not torch.allclose(before[3], after[3]) and not torch.allclose(before[4], after[4])


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
def test_attention_weights_are_those_of_the_forward_pass(attention):
    model = make_model(attention=attention, block="post-norm")
    vectors = model.embed(torch.tensor([[7, 4, 2, 0], [5, 1, 6, 3]]))
    mask = torch.tensor([[False, True, True, True], [True] * 4])
    layers = model.attention_weights(vectors, mask)
    n = 4 if attention == "causal" else 5
    assert [tuple(w.shape) for w in layers] == [(2, 2, n, n)] * 2
    for weights in layers:
        torch.testing.assert_close(weights.sum(-1)[:, :, 1:], torch.ones(2, 2, n - 1))
        assert (weights[0, :, 1:, 0] == 0).all()  # padding is not read
        if attention == "causal":
            assert (weights.triu(1) == 0).all()
    # mixing the last block's values with its weights gives its output
    tokens, real = model._with_question(vectors, mask, None)
    x = model._input(tokens)
    visible = real[:, None, None, :]
    x = model.blocks[0](x, _causal(n, x.device, visible, None) if attention == "causal" else visible)
    attend = model.blocks[1].attention
    _, _, values = attend._heads(x, None)
    mixed = attend.out((layers[1] @ values).transpose(1, 2).flatten(2))[:, -1]
    torch.testing.assert_close(mixed, attend(x, visible, select=lambda y: y[:, -1:])[:, 0], rtol=1e-4, atol=1e-5)


def test_hiding_an_item_leaves_the_positions_of_the_others():
    model = make_model()
    row = torch.tensor([[4, 2, 0]])
    hidden = model.query(model.embed(row), torch.tensor([[True, False, True]]))
    other = model.query(model.embed(torch.tensor([[4, 9, 0]])), torch.tensor([[True, False, True]]))
    torch.testing.assert_close(hidden, other)  # what it was does not matter
    shorter = model.query(model.embed(torch.tensor([[4, 0]])), None)
    assert not torch.allclose(hidden, shorter)  # item 4 is still three steps back


@pytest.mark.parametrize("norms", [True, False])
def test_forward_equals_the_papers_formulas(norms):
    model = make_model(embedding_norm=norms, head_norm=norms)
    tokens = np.array([4, V, 0, 9, V])
    found = logits(model, torch.from_numpy(tokens)[None], None, torch.tensor([1, 4])).detach().numpy()
    np.testing.assert_allclose(found, oracle_logits(model, tokens)[[1, 4]], rtol=1e-4, atol=1e-5)


def test_scores_of_a_query_equal_the_logits_at_an_appended_mask():
    model = make_model()
    history = torch.tensor([[4, 2, 0]])
    query = model.query(model.embed(history), None)
    tokens = np.array([4, 2, 0, V])
    np.testing.assert_allclose(
        model.score(query)[0].detach().numpy(), oracle_logits(model, tokens)[-1], rtol=1e-4, atol=1e-5
    )


def test_a_row_means_the_same_alone_and_padded():
    model = make_model()
    alone = model.query(model.embed(torch.tensor([[4, 2, 0]])), None)
    padded = torch.tensor([[7, 7, 4, 2, 0], [1, 2, 3, 4, 5]])  # what stands in padding must not matter
    mask = torch.tensor([[False, False, True, True, True], [True] * 5])
    together = model.query(model.embed(padded), mask)
    torch.testing.assert_close(together[0], alone[0], rtol=1e-4, atol=1e-5)


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
    assert logits(model, torch.tensor([[1, V]]), None, torch.tensor([1])).shape == (1, V)
    assert model.item_vectors.shape == (V, 8) and model.mask_token == V


def test_output_weights_are_the_input_embeddings():
    model = make_model()
    names = {name for name, _ in model.named_parameters()}
    assert not any("output" in name or "decoder" in name for name in names)
    queries = model(torch.tensor([[1, V]]), None, torch.tensor([1]))
    softmax_loss(queries, model.item_vectors, model.bias, torch.tensor([5])).backward()
    gradient = model.items.weight.grad
    assert gradient is not None and (gradient[5] != 0).any()  # item 5 was never an input


@pytest.mark.parametrize("block", ["post-norm", "ligr"])
def test_initial_weights_are_truncated_at_two_hundredths(block):
    model = SequenceModel(500, SequenceModelConfig(dim=64, block=block))
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            assert parameter.abs().max() <= 0.02, name
            assert 0.008 < parameter.std() < 0.0125, name  # sigma 0.02 cut at one sigma has 0.0108


def test_gradients_are_right():
    model = make_model().double()
    tokens, targets, labels = torch.tensor([[4, V, 0]]), torch.tensor([1]), torch.tensor([2])
    parameter = model.blocks[0].attention.qkv.weight
    torch.nn.functional.cross_entropy(logits(model, tokens, None, targets), labels).backward()
    step = 1e-6
    for index in [(0, 0), (9, 3), (20, 7)]:  # a weight each of query, key and value
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[index] += sign * step
                values.append(torch.nn.functional.cross_entropy(logits(model, tokens, None, targets), labels).item())
                parameter[index] -= sign * step
        assert parameter.grad is not None
        assert parameter.grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def test_settings_must_fit_together():
    with pytest.raises(ValidationError, match="the newest item asks"):
        SequenceModelConfig(attention="causal", question="mask")
    with pytest.raises(ValidationError, match="multiple of heads"):
        SequenceModelConfig(dim=10, heads=3)


def test_attributes_are_summed_into_the_items():
    values = [["genre Comedy"], [], ["genre Crime", "genre Comedy"], *([[]] * (V - 4)), ["genre Crime"]]
    flat, offsets, count = number_values(values)
    assert flat.tolist() == [0, 1, 0, 1] and count == 2 and len(offsets) == V + 1
    model = make_model(ItemAttributes(flat, offsets, count, 8))
    own, genres = model.items.weight, model.attributes.vectors.weight
    expected = own.clone()
    expected[0] += genres[0]
    expected[2] += genres[0] + genres[1]
    expected[V - 1] += genres[1]
    torch.testing.assert_close(model.table(), expected)
    rows = torch.tensor([[2, V, 1], [0, 10, 2]])
    torch.testing.assert_close(model.embed(rows), expected[rows])
    torch.testing.assert_close(model.item_vectors, expected[:V])
    softmax_loss(model(rows, None, torch.tensor([1])), model.item_vectors, model.bias, torch.tensor([5])).backward()
    assert (genres.grad != 0).any()
    again = SequenceModel(V, model.config, ItemAttributes(flat, offsets, count, 8))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.table(), expected)
