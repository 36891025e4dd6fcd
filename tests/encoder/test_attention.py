"""Both ways of attention equal a plain loop over texts, with their gradients."""

import pytest
import torch
from torch.nn import functional as F

from skbert.encoder._attention import attend, attend_from_first, attend_joined
from skbert.encoder._dropout import dropout
from skbert.encoder._way import WAYS, forced_way
from skbert.text import Layout

EACH_WAY = pytest.mark.parametrize("way", WAYS)
LENGTHS = pytest.mark.parametrize("lengths", [(1,), (1, 1), (4, 4, 4), (3, 3, 7, 9), (1, 2, 12)], ids=str)
N_HEADS, WIDTH = 4, 16


def layout_of(lengths, attended=None):
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0))
    return Layout(lengths, order, attended)


def states(lengths, n=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, sum(lengths), WIDTH, generator=generator, dtype=torch.float64).requires_grad_()


def by_hand(query, key, value, lengths, attended=None, window=None):
    """Attention of all tokens, text by text and head by head."""
    found, start, head = [], 0, WIDTH // N_HEADS
    for length in lengths:
        own = slice(start, start + length)
        heads = []
        for h in range(N_HEADS):
            part = slice(h * head, (h + 1) * head)
            scores = query[own, part] @ key[own, part].T / head**0.5
            for i in range(length):
                for j in range(length):
                    far = window is not None and abs(i - j) > window
                    if far or (attended is not None and not attended[start + j]):
                        scores = scores.index_put((torch.tensor(i), torch.tensor(j)), torch.tensor(-torch.inf).double())
            heads.append(scores.softmax(dim=1) @ value[own, part])
        found.append(torch.cat(heads, dim=1))
        start += length
    return torch.cat(found)


def assert_same(ours, theirs, leaf):
    """Equal outputs, and equal gradients of a weighted sum of them."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = [torch.autograd.grad((output * weights).sum(), leaf, retain_graph=True)[0] for output in (ours, theirs)]
    assert gradients[1].abs().sum() > 0
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


@EACH_WAY
@LENGTHS
@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("cls_only", [False, True])
def test_attend__equals_a_plain_loop(way, lengths, window, drops, cls_only):
    all_states = states(lengths)
    # Every third token is a key of no token; the window of each token still holds one that is.
    attended = (torch.arange(sum(lengths)) % 3 != 2) if drops else None
    if drops:
        attended[layout_of(lengths).cls_index] = True
    layout = layout_of(lengths, attended)
    query, key, value = all_states
    with forced_way(way):
        rows = query[layout.cls_index] if cls_only else query
        out = attend(rows, key, value, layout, n_heads=N_HEADS, dropout_p=0.0, cls_only=cls_only, window=window)
    expected = by_hand(query, key, value, lengths, attended, window)
    assert_same(out, expected[layout.cls_index] if cls_only else expected, all_states)


@EACH_WAY
@LENGTHS
def test_attend_joined__equals_attend(way, lengths):
    all_states, layout = states(lengths), layout_of(lengths)
    with forced_way(way):
        out = attend_joined(torch.cat(list(all_states), dim=1), layout, n_heads=N_HEADS, dropout_p=0.0)
        expected = attend(*all_states, layout, n_heads=N_HEADS, dropout_p=0.0)
    assert_same(out, expected, all_states)


@LENGTHS
def test_attend_from_first__equals_attend(lengths):
    all_states, layout = states(lengths), layout_of(lengths)
    rows = all_states[0][layout.cls_index]
    out = attend_from_first(rows, torch.cat(list(all_states[1:]), dim=1), layout, n_heads=N_HEADS, dropout_p=0.0)
    expected = attend(rows, *all_states[1:], layout, n_heads=N_HEADS, dropout_p=0.0, cls_only=True)
    assert_same(out, expected, all_states)


@pytest.mark.parametrize(("way", "n_calls"), [("groups", 3), ("padded", 1)])
def test_attend__calls__one_per_length_or_one(way, n_calls, monkeypatch):
    calls, kernel = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or kernel(*a, **k))
    lengths = (3, 3, 7, 9)
    with forced_way(way):
        attend(*states(lengths), layout_of(lengths), n_heads=N_HEADS, dropout_p=0.0)
    assert len(calls) == n_calls


def test_attend__what_stands_at_padding__is_not_read():
    lengths = (2, 5)
    query, key, value = states(lengths).detach()
    layout = layout_of(lengths)
    with forced_way("padded"):
        before = attend(query, key, value, layout, n_heads=N_HEADS, dropout_p=0.0)
        # The padding of the first text copies its last token.
        value[1] += 100.0
        after = attend(query, key, value, layout, n_heads=N_HEADS, dropout_p=0.0)
    weights = (query[0].view(N_HEADS, -1) * key[:2].view(2, N_HEADS, -1)).sum(-1).div(2.0).softmax(dim=0)[1]
    torch.testing.assert_close((after - before)[0], 100.0 * weights.repeat_interleave(WIDTH // N_HEADS))


@EACH_WAY
@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_attend__dropout_that_drops_nothing__equals_none(way, cls_only, window):
    torch.manual_seed(0)
    layout = Layout((3, 3, 7, 9), torch.tensor([2, 0, 3, 1]))
    query, key, value = torch.randn(3, 22, 16)
    query = query[layout.cls_index] if cls_only else query
    options = {"n_heads": 4, "cls_only": cls_only, "window": window}
    with forced_way(way):
        plain = attend(query, key, value, layout, dropout_p=0.0, **options)
        torch.testing.assert_close(attend(query, key, value, layout, dropout_p=1e-9, **options), plain)


def grown(tensors, dtype):
    """Copies of tensors in `dtype` that can be trained."""
    return [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]


@LENGTHS
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.bfloat16, 0.05)], ids=str)
def test_attend__dropout_that_drops_nothing__gradients_of_a_plain_loop(lengths, window, drops, cls_only, dtype, atol):
    attended = (torch.arange(sum(lengths)) % 3 != 2) if drops else None
    if drops:
        attended[layout_of(lengths).cls_index] = True
    layout = layout_of(lengths, attended)
    ours = grown(states(lengths), dtype)
    theirs = grown(ours, torch.float64)
    query = ours[0][layout.cls_index] if cls_only else ours[0]
    # Small enough that no random bits drop anything.
    out = attend(query, *ours[1:], layout, n_heads=N_HEADS, dropout_p=1e-9, cls_only=cls_only, window=window)
    expected = by_hand(*theirs, lengths, attended, window)
    expected = expected[layout.cls_index] if cls_only else expected
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=atol)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = torch.autograd.grad(out, ours, weights.to(dtype))
    for one, other in zip(found, torch.autograd.grad(expected, theirs, weights), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one.double(), other, rtol=0, atol=atol)


@LENGTHS
def test_attend__dropout__gradients_of_the_formula_with_the_same_draws(lengths):
    layout, head = layout_of(lengths), WIDTH // N_HEADS
    ours, theirs = grown(states(lengths), torch.float32), grown(states(lengths), torch.float32)
    torch.manual_seed(3)
    out = attend(*ours, layout, n_heads=N_HEADS, dropout_p=0.4)
    torch.manual_seed(3)
    parts = []
    for _, first, n, length in layout.groups:
        q, k, v = (t[first : first + n * length].view(n, length, N_HEADS, head).transpose(1, 2) for t in theirs)
        weights = dropout((q @ k.transpose(2, 3) / head**0.5).softmax(dim=-1), 0.4)
        parts.append((weights @ v).transpose(1, 2).reshape(n * length, WIDTH))
    expected = torch.cat(parts)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(out, ours, weights)
    for one, other in zip(found, torch.autograd.grad(expected, theirs, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [(5, 9, 14, 17), (70,) * 16], ids=["small groups", "a large group"])
def test_attend__dropout_in_bf16__its_gradient_drops_the_same_weights(lengths):
    # The output is linear in the values, with the weights that were kept.
    layout = Layout(lengths, torch.arange(len(lengths)))
    query, key, value = torch.randn(3, sum(lengths), WIDTH, generator=torch.Generator().manual_seed(0)).bfloat16()
    value = torch.randint(-2, 3, value.shape, generator=torch.Generator().manual_seed(1)).bfloat16().requires_grad_()
    torch.manual_seed(0)
    out = attend(query, key, value, layout, n_heads=N_HEADS, dropout_p=0.5)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).bfloat16()
    (of_value,) = torch.autograd.grad(out, value, weights)
    terms = out.double() * weights
    assert abs(terms.sum() - (of_value.double() * value).sum()) < 0.01 * terms.abs().sum()
    torch.manual_seed(1)
    other = attend(query, key, value, layout, n_heads=N_HEADS, dropout_p=0.5)
    assert (other - out).abs().max() > 0.1


def test_attend__dropout__once_differentiable_only():
    lengths = (3, 3, 7)
    leaves = states(lengths)
    out = attend(*leaves, layout_of(lengths), n_heads=N_HEADS, dropout_p=0.1)
    (gradient,) = torch.autograd.grad((out**2).sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@EACH_WAY
def test_attend__dropout_on_the_weights__keeps_the_mean(way):
    torch.manual_seed(0)
    layout = Layout((3, 5), torch.tensor([0, 1]))
    query, key, value = torch.randn(3, 8, 8)
    with forced_way(way):
        plain = attend(query, key, value, layout, n_heads=2, dropout_p=0.0)
        drawn = torch.stack([attend(query, key, value, layout, n_heads=2, dropout_p=0.3) for _ in range(2000)])
    spread = drawn.std(dim=0)
    assert (spread > 0).all()
    assert ((drawn.mean(dim=0) - plain).abs() < 6 * spread / 2000**0.5).all()
