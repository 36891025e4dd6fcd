"""Pooling over layers, against plain numpy."""

from itertools import permutations

import numpy as np
import pytest
import torch

from skbert.pooling import LAYER_POOLINGS, make_layer_pooling, resolve_layers

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
    pooling = make_layer_pooling(mode, n)
    assert list(pooling.parameters()) == []
    assert pooling.out_width(4) == (4 * n if mode == "concat" else 4)
    pooled = pooling(states)
    assert pooled.shape == (*shape[:-1], pooling.out_width(4))
    np.testing.assert_allclose(pooled.numpy(), expected(np.stack(states)), rtol=0, atol=1e-6)
    assert torch.equal(pooling(tuple(states)), pooled)


def test_layer_pooling__inputs__left_as_they_were():
    for mode in LAYER_POOLINGS:
        states = some_states(3)
        make_layer_pooling(mode, 3)(states)
        for state, before in zip(states, some_states(3), strict=True):
            assert torch.equal(state, before)


def test_layer_pooling__weighted__starts_as_the_mean():
    states = some_states(4)
    pooled = make_layer_pooling("weighted", 4)(states)
    np.testing.assert_allclose(pooled.detach().numpy(), np.stack(states).mean(axis=0), rtol=0, atol=1e-6)


def test_layer_pooling__weighted__softmax_mix_that_is_learned():
    states = some_states(3)
    pooling = make_layer_pooling("weighted", 3)
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
    assert make_layer_pooling("weighted", 2)(states).dtype == torch.bfloat16


def test_layer_pooling__max__gradient_goes_to_the_winner():
    states = [state.requires_grad_() for state in some_states(3)]
    upstream = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    (make_layer_pooling("max", 3)(states) * upstream).sum().backward()
    winner = np.stack([state.detach().numpy() for state in states]).argmax(axis=0)
    assert set(np.unique(winner)) == {0, 1, 2}
    for layer, state in enumerate(states):
        np.testing.assert_array_equal(state.grad.numpy(), np.where(winner == layer, upstream.numpy(), 0))


def test_layer_pooling__max_with_ties__gradient_is_split_evenly():
    values = torch.tensor([[1.0, 5.0, 2.0, 0.0], [1.0, 5.0, 3.0, 0.0], [1.0, 4.0, 1.0, 0.0], [0.0, 1.0, 3.0, 0.0]])
    states = [row.clone().requires_grad_() for row in values]
    make_layer_pooling("max", 4)(states).sum().backward()
    expected = [[1 / 3, 1 / 2, 0, 1 / 4], [1 / 3, 1 / 2, 1 / 2, 1 / 4], [1 / 3, 0, 0, 1 / 4], [0, 0, 1 / 2, 1 / 4]]
    np.testing.assert_allclose(np.stack([state.grad.numpy() for state in states]), expected, rtol=0, atol=1e-6)


def test_layer_pooling__max__order_of_layers_is_indifferent():
    states = some_states(4)
    pooling = make_layer_pooling("max", 4)
    expected = pooling(states)
    for order in permutations(range(4)):
        assert torch.equal(pooling([states[i] for i in order]), expected)
    # Not so for concat, which shows that the states do differ.
    concat = make_layer_pooling("concat", 4)
    assert not torch.equal(concat(states), concat(states[::-1]))


@pytest.mark.parametrize("mode", LAYER_POOLINGS)
def test_layer_pooling__wrong_number_of_states__value_error(mode):
    pooling = make_layer_pooling(mode, 3)
    for n in (1, 2, 4):
        with pytest.raises(ValueError, match=f"expected 3 hidden states, got {n}"):
            pooling(some_states(n))


@pytest.mark.parametrize("mode", ["min", "MAX", "", None])
def test_layer_pooling__unknown_mode__value_error(mode):
    with pytest.raises(ValueError, match="layer_pooling must be one of"):
        make_layer_pooling(mode, 3)
