"""The two axes of pooling, against plain numpy."""

from itertools import permutations

import numpy as np
import pytest
import torch

from skbert.pooling import (
    ClsPooling,
    LayerPooling,
    MaxPooling,
    MeanPooling,
    MultiHeadAttentionPooling,
    make_token_pooling,
    resolve_layers,
)

# ------------------------------------------------------------------ which layers


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (1, (6,)),
        (3, (4, 5, 6)),
        (6, (1, 2, 3, 4, 5, 6)),
        (np.int64(2), (5, 6)),
        (np.uint8(2), (5, 6)),
        ([0], (0,)),
        ([6], (6,)),
        ([-1], (6,)),
        ([-7], (0,)),
        ((2, 0, 5), (2, 0, 5)),
        ([-1, 0, -3], (6, 0, 4)),
        (range(7), (0, 1, 2, 3, 4, 5, 6)),
        (range(4, 0, -2), (4, 2)),
        (np.array([1, -1]), (1, 6)),
        ([np.int32(3), 4], (3, 4)),
    ],
    ids=repr,
)
def test_resolve_layers__valid__indices_of_hidden_states(layers, expected):
    resolved = resolve_layers(layers, 6)
    assert resolved == expected
    assert isinstance(resolved, tuple)
    assert all(type(index) is int for index in resolved)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (0, ValueError, "layers=0"),
        (-1, ValueError, "layers=-1"),
        (7, ValueError, "runs 6"),
        (np.int64(7), ValueError, "runs 6"),
        ([7], ValueError, "layers holds 7"),
        ([1, -8], ValueError, "layers holds -8"),
        ([], ValueError, "empty"),
        ((), ValueError, "empty"),
        (np.array([], dtype=int), ValueError, "empty"),
        (range(0), ValueError, "empty"),
        ([2, 2], ValueError, "hidden state 2 more than once"),
        ([6, -1], ValueError, "hidden state 6 more than once"),
        ([-7, 3, 0], ValueError, "hidden state 0 more than once"),
        (True, TypeError, "bool"),
        (np.True_, TypeError, "bool"),
        ([1, True], TypeError, "True"),
        (np.array([True, False]), TypeError, "bool"),
        ("3", TypeError, "str"),
        ("", TypeError, "str"),
        (["1"], TypeError, "'1'"),
        (3.0, TypeError, "float"),
        ([1, 2.0], TypeError, "2.0"),
        (np.array([1.0, 2.0]), TypeError, "float"),
        (None, TypeError, "NoneType"),
        ({1, 2}, TypeError, "set"),
        ([[1, 2]], TypeError, "list"),
    ],
    ids=repr,
)
def test_resolve_layers__wrong__error_that_says_what(layers, error, message):
    with pytest.raises(error, match=message):
        resolve_layers(layers, 6)


# ------------------------------------------------------------------ pooling over layers


def some_states(n, shape=(7, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(n)]


@pytest.mark.parametrize("shape", [(7, 4), (2, 5, 4)], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("max", lambda x: x.max(axis=0)),
        ("mean", lambda x: x.mean(axis=0)),
        ("sum", lambda x: x.sum(axis=0)),
        ("concat", lambda x: np.concatenate(list(x), axis=-1)),
    ],
)
def test_layer_pooling__fixed_modes__equal_numpy(mode, expected, n, shape):
    states = some_states(n, shape)
    pooling = LayerPooling(mode, n)
    assert list(pooling.parameters()) == []
    assert pooling.out_width(4) == (4 * n if mode == "concat" else 4)
    pooled = pooling(states)
    assert pooled.shape == (*shape[:-1], pooling.out_width(4))
    np.testing.assert_allclose(pooled.numpy(), expected(np.stack(states)), rtol=0, atol=1e-6)
    assert torch.equal(pooling(tuple(states)), pooled)


def test_layer_pooling__inputs__left_as_they_were():
    for mode in ("max", "mean", "sum", "concat", "weighted"):
        states = some_states(3)
        LayerPooling(mode, 3)(states)
        for state, before in zip(states, some_states(3), strict=True):
            assert torch.equal(state, before)


def test_layer_pooling__weighted__starts_as_the_mean():
    states = some_states(4)
    pooled = LayerPooling("weighted", 4)(states)
    np.testing.assert_allclose(pooled.detach().numpy(), np.stack(states).mean(axis=0), rtol=0, atol=1e-6)


def test_layer_pooling__weighted__softmax_mix_that_is_learned():
    states = some_states(3)
    pooling = LayerPooling("weighted", 3)
    mix = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    with torch.no_grad():
        pooling.mix.copy_(torch.from_numpy(mix))
    share = np.exp(mix) / np.exp(mix).sum()
    pooled = pooling(states)
    np.testing.assert_allclose(
        pooled.detach().numpy(), np.einsum("l,lij->ij", share, np.stack(states)), rtol=0, atol=1e-6
    )
    pooled.sum().backward()
    # d/dmix_k of sum_l share_l S_l is share_k (S_k - sum_l share_l S_l), with S_l the sum of state l.
    totals = np.array([state.sum().item() for state in states])
    np.testing.assert_allclose(pooling.mix.grad.numpy(), share * (totals - share @ totals), rtol=0, atol=1e-4)
    assert np.abs(pooling.mix.grad.numpy()).min() > 1e-3


def test_layer_pooling__weighted__keeps_the_dtype_of_the_states():
    states = [state.to(torch.bfloat16) for state in some_states(2)]
    assert LayerPooling("weighted", 2)(states).dtype == torch.bfloat16


def test_layer_pooling__max__gradient_goes_to_the_winner():
    states = [state.requires_grad_() for state in some_states(3)]
    upstream = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    (LayerPooling("max", 3)(states) * upstream).sum().backward()
    winner = np.stack([state.detach().numpy() for state in states]).argmax(axis=0)
    assert set(np.unique(winner)) == {0, 1, 2}
    for layer, state in enumerate(states):
        np.testing.assert_array_equal(state.grad.numpy(), np.where(winner == layer, upstream.numpy(), 0))


def test_layer_pooling__max_with_ties__gradient_is_split_evenly():
    values = torch.tensor([[1.0, 5.0, 2.0, 0.0], [1.0, 5.0, 3.0, 0.0], [1.0, 4.0, 1.0, 0.0], [0.0, 1.0, 3.0, 0.0]])
    states = [row.clone().requires_grad_() for row in values]
    LayerPooling("max", 4)(states).sum().backward()
    expected = [[1 / 3, 1 / 2, 0, 1 / 4], [1 / 3, 1 / 2, 1 / 2, 1 / 4], [1 / 3, 0, 0, 1 / 4], [0, 0, 1 / 2, 1 / 4]]
    np.testing.assert_allclose(np.stack([state.grad.numpy() for state in states]), expected, rtol=0, atol=1e-6)


def test_layer_pooling__max__order_of_layers_is_indifferent():
    states = some_states(4)
    pooling = LayerPooling("max", 4)
    expected = pooling(states)
    for order in permutations(range(4)):
        assert torch.equal(pooling([states[i] for i in order]), expected)
    # Not so for concat, which shows that the states do differ.
    concat = LayerPooling("concat", 4)
    assert not torch.equal(concat(states), concat(states[::-1]))


@pytest.mark.parametrize("mode", ["max", "mean", "sum", "concat", "weighted"])
def test_layer_pooling__wrong_number_of_states__value_error(mode):
    pooling = LayerPooling(mode, 3)
    for n in (1, 2, 4):
        with pytest.raises(ValueError, match=f"expected 3 hidden states, got {n}"):
            pooling(some_states(n))


@pytest.mark.parametrize("mode", ["min", "MAX", "", None])
def test_layer_pooling__unknown_mode__value_error(mode):
    with pytest.raises(ValueError, match="layer_pooling must be one of"):
        LayerPooling(mode, 3)


# ------------------------------------------------------------------ pooling over tokens

LENGTHS = (5, 1, 8, 3)


@pytest.fixture
def hidden():
    """Hidden states of four texts (4, 8, 12), all below zero at real tokens, and their mask."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(8) < torch.tensor(LENGTHS)[:, None]
    # Below zero, so that a pad counted as 0 would win every maximum.
    return -torch.rand(4, 8, 12, generator=generator) - 0.5, mask


PLAIN = {
    "cls": lambda rows: rows[0],
    "mean": lambda rows: rows.mean(axis=0),
    "max": lambda rows: rows.max(axis=0),
}


@pytest.mark.parametrize("pad", [0.0, 1e30, -1e30, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("mode", PLAIN)
def test_token_pooling__any_value_at_pads__equals_numpy_over_real_tokens(hidden, mode, pad):
    states, mask = hidden
    states[~mask] = pad
    pooled = make_token_pooling(mode, 12)(states, mask)
    expected = np.stack([PLAIN[mode](states[i, :n].numpy()) for i, n in enumerate(LENGTHS)])
    assert pooled.shape == (4, 12)
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pad", [0.0, float("inf"), float("nan")])
@pytest.mark.parametrize("mode", PLAIN)
def test_token_pooling__any_value_at_pads__no_gradient_there(hidden, mode, pad):
    states, mask = hidden
    states[~mask] = pad
    states.requires_grad_()
    make_token_pooling(mode, 12)(states, mask).sum().backward()
    grad = states.grad.numpy()
    assert np.all(grad[~mask.numpy()] == 0)
    for i, n in enumerate(LENGTHS):
        if mode == "cls":
            expected = np.zeros((n, 12))
            expected[0] = 1
        elif mode == "mean":
            expected = np.full((n, 12), 1 / n)
        else:
            rows = states[i, :n].detach().numpy()
            expected = rows == rows.max(axis=0)
        np.testing.assert_allclose(grad[i, :n], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("cls", ClsPooling), ("mean", MeanPooling), ("max", MaxPooling), ("mha", MultiHeadAttentionPooling)],
)
def test_make_token_pooling__mode__its_module(mode, kind):
    module = make_token_pooling(mode, 12, 3)
    assert type(module) is kind
    assert (sum(p.numel() for p in module.parameters()) > 0) == (mode == "mha")


@pytest.mark.parametrize("mode", ["sum", "CLS", "", None])
def test_make_token_pooling__unknown_mode__value_error(mode):
    with pytest.raises(ValueError, match="token_pooling must be one of"):
        make_token_pooling(mode, 12)


# ------------------------------------------------------------------ multi-head attention


def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def attention_by_hand(rows, weights, n_heads):
    """Multi-head attention of MaxPoolBERT for one text without pads: rows (n, width) → (width,)."""
    width = rows.shape[1]
    d = width // n_heads
    w, b = weights["in_proj_weight"], weights["in_proj_bias"]
    query = w[:width] @ rows[0] + b[:width]
    keys = rows @ w[width : 2 * width].T + b[width : 2 * width]
    values = rows @ w[2 * width :].T + b[2 * width :]
    heads = []
    for h in range(n_heads):
        part = slice(h * d, (h + 1) * d)
        heads.append(softmax(keys[:, part] @ query[part] / np.sqrt(d)) @ values[:, part])
    return weights["out_proj.weight"] @ np.concatenate(heads) + weights["out_proj.bias"]


def random_attention(width, n_heads):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pooling = MultiHeadAttentionPooling(width, n_heads)
        # The biases start at zero, where leaving one out would not show.
        for parameter in pooling.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return pooling


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_heads", [1, 3, 4, 12])
def test_mha_pooling__random_weights__equals_the_formula(hidden, n_heads, training):
    states, mask = hidden
    states = states + torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    pooling = random_attention(12, n_heads).train(training)
    weights = {name: p.detach().double().numpy() for name, p in pooling.attention.named_parameters()}
    pooled = pooling(states, mask)
    assert pooled.shape == (4, 12)
    expected = [attention_by_hand(states[i, :n].double().numpy(), weights, n_heads) for i, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(pooled.detach().numpy(), np.stack(expected), rtol=0, atol=1e-5)


def test_mha_pooling__values_at_pads__change_nothing(hidden):
    states, mask = hidden
    pooling = random_attention(12, 4)
    pooled = pooling(states, mask)
    other = states.clone()
    other[~mask] = 1e4
    torch.testing.assert_close(pooling(other, mask), pooled, rtol=0, atol=1e-6)
    # A real token does change its own text, and no other.
    other = states.clone()
    other[0, 4] += 1
    changed = (pooling(other, mask) - pooled).abs().amax(dim=1)
    assert changed[0] > 1e-3
    assert changed[1:].max() == 0


def test_mha_pooling__order_of_other_tokens__is_indifferent(hidden):
    states, mask = hidden
    pooling = random_attention(12, 4)
    turned = states.clone()
    turned[2, 1:] = states[2, 1:].flip(0)
    torch.testing.assert_close(pooling(turned, mask), pooling(states, mask), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("width", "n_heads"), [(12, 5), (12, 8), (4, 12)])
def test_mha_pooling__heads_do_not_divide_the_width__value_error(width, n_heads):
    with pytest.raises(ValueError, match=f"n_heads={n_heads} does not divide the width {width}"):
        MultiHeadAttentionPooling(width, n_heads)


def test_mha_pooling__start__xavier_uniform_and_no_bias():
    width = 48
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pooling = MultiHeadAttentionPooling(width)
    assert pooling.attention.num_heads == 4
    assert pooling.attention.dropout == 0
    weight = pooling.attention.in_proj_weight.detach().numpy()
    assert weight.shape == (3 * width, width)
    # Query, key and value are drawn as one matrix, as torch and the paper's code have it.
    bound = np.sqrt(6 / (3 * width + width))
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.99 * bound
    for part in np.split(weight, 3):
        np.testing.assert_allclose(part.std(), bound / np.sqrt(3), rtol=0.05)
        assert abs(part.mean()) < 0.05 * bound
    assert not pooling.attention.in_proj_bias.any()
    assert not pooling.attention.out_proj.bias.any()
