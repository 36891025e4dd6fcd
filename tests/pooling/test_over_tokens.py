"""Pooling over tokens, against plain numpy."""

import numpy as np
import pytest
import torch

from skbert.pooling import TOKEN_POOLINGS, make_token_pooling

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


@pytest.mark.parametrize("mode", TOKEN_POOLINGS)
def test_make_token_pooling__mode__its_module(mode):
    module = make_token_pooling(mode, 12, 3)
    assert type(module) is TOKEN_POOLINGS[mode]
    assert module.name == mode
    assert (sum(p.numel() for p in module.parameters()) > 0) == module.learns == (mode == "mha")


@pytest.mark.parametrize("mode", TOKEN_POOLINGS)
def test_token_pooling__reads_the_first_token_alone__others_do_not_matter(hidden, mode):
    states, mask = hidden
    module = make_token_pooling(mode, 12)
    before = module(states, mask)
    states[:, 1:] += 1.0
    others_matter = not torch.equal(module(states, mask), before)
    assert others_matter == (module.reads == "all")


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
        pooling = make_token_pooling("mha", width, n_heads)
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
        make_token_pooling("mha", width, n_heads)


def test_mha_pooling__start__xavier_uniform_and_no_bias():
    width = 48
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pooling = make_token_pooling("mha", width)
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
