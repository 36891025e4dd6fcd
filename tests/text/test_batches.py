"""Texts packed by length, and the layout of what is packed, against plain loops."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from skbert.text import Layout, TokenizedTexts, check_texts, collate, tokenize

SINGLES = ["where is my parcel", "refund", "", "xyzzy ☃ broken", "the app code does not work", "refund"]


@pytest.fixture(params=["bert", "roberta"])
def tokenizer(tiny, request):
    """With segment ids, and without."""
    return AutoTokenizer.from_pretrained(tiny(request.param))


def listed(arrays):
    return [array.tolist() for array in arrays]


# ------------------------------------------------------------------ collate


def made_up(lengths, types=True):
    """Texts whose token j of text i is 100 * i + j, so that every token tells where it is from."""
    ids = [np.arange(n, dtype=np.int64) + 100 * i for i, n in enumerate(lengths)]
    segments = [np.full(n, i % 2, dtype=np.int64) for i, n in enumerate(lengths)] if types else None
    return TokenizedTexts(ids, segments, 0)


def test_collate__texts_of_several_lengths__packed_by_length_without_pads():
    batch = collate(made_up([5, 2, 3, 2]), [0, 1, 2, 3])
    assert batch.lengths == (2, 2, 3, 5)
    assert batch.input_ids.tolist() == [100, 101, 300, 301, 200, 201, 202, 0, 1, 2, 3, 4]
    assert batch.token_type_ids.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert batch.input_ids.dtype == batch.position_ids.dtype == batch.token_type_ids.dtype == torch.int64
    assert len(batch) == 4


def test_collate__positions__restart_in_each_text():
    batch = collate(made_up([3, 1, 2]), [0, 1, 2])
    assert batch.position_ids.tolist() == [0, 0, 1, 0, 1, 2]


def test_collate__order__leads_back_to_the_order_asked_for():
    tokens = made_up([5, 2, 3, 2, 7, 1])
    asked = [4, 1, 5, 0, 3]
    batch = collate(tokens, asked)
    restored = [None] * len(asked)
    for text, place in zip(torch.split(batch.input_ids, batch.lengths), batch.order.tolist(), strict=True):
        restored[place] = text.tolist()
    assert restored == [tokens.input_ids[i].tolist() for i in asked]


def test_collate__texts_of_equal_length__stay_in_the_order_asked_for():
    batch = collate(made_up([2, 2, 2]), [2, 0, 1])
    assert batch.order.tolist() == [0, 1, 2]
    assert batch.input_ids.tolist() == [200, 201, 0, 1, 100, 101]


def test_collate__same_text_twice__laid_down_twice():
    batch = collate(made_up([3, 2]), np.array([0, 0]))
    assert batch.input_ids.tolist() == [0, 1, 2, 0, 1, 2]


def test_collate__one_text__as_it_is():
    batch = collate(made_up([3, 2]), [1])
    assert (batch.input_ids.tolist(), batch.lengths, batch.order.tolist()) == ([100, 101], (2,), [0])


def test_collate__no_segments__none():
    assert collate(made_up([3, 2], types=False), [0, 1]).token_type_ids is None


def test_collate__real_texts__every_text_comes_back(tokenizer):
    tokens = tokenize(check_texts(SINGLES), tokenizer, 64)
    batch = collate(tokens, range(len(SINGLES)))
    assert sorted(batch.lengths) == list(batch.lengths) == sorted(tokens.lengths)
    assert batch.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.pad_token_id not in batch.input_ids.tolist()
    texts = torch.split(batch.input_ids, batch.lengths)
    decoded = {place: texts[i].tolist() for i, place in enumerate(batch.order.tolist())}
    assert [decoded[i] for i in range(len(SINGLES))] == tokenizer(SINGLES)["input_ids"]


def test_to__same_device__is_the_same_batch():
    batch = collate(made_up([3, 2]), [0, 1])
    assert batch.to("cpu") is batch


def test_to__another_device__everything_moves():
    moved = collate(made_up([3, 2]), [0, 1]).to("meta")
    tensors = (moved.input_ids, moved.position_ids, moved.token_type_ids, moved.order)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.lengths == (2, 3)
    assert collate(made_up([3, 2], types=False), [0, 1]).to("meta").token_type_ids is None


def test_take__indices__gives_those_texts_in_that_order():
    taken = made_up([3, 2, 4]).take([2, 0])
    assert listed(taken.input_ids) == [[200, 201, 202, 203], [0, 1, 2]]
    assert listed(taken.token_type_ids) == [[0] * 4, [0] * 3]
    assert made_up([3, 2], types=False).take([1]).token_type_ids is None


# ------------------------------------------------------------------ layout


LENGTHS = pytest.mark.parametrize(
    "lengths", [(1,), (7,), (3, 3, 3), (1, 2, 3, 4), (2, 2, 5, 5, 5, 9), (1, 1, 4, 6, 6, 6, 6, 11)], ids=str
)


def layout_of(lengths):
    order = np.random.default_rng(len(lengths)).permutation(len(lengths))
    return Layout(lengths, torch.from_numpy(order)), order


@LENGTHS
def test_layout__pad_and_mask__equal_a_plain_loop(lengths):
    layout, order = layout_of(lengths)
    packed = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(0))
    padded = torch.zeros(len(lengths), max(lengths), 3)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
    start = 0
    for text, length in enumerate(lengths):
        padded[order[text], :length] = packed[start : start + length]
        mask[order[text], :length] = True
        start += length
    assert torch.equal(layout.pad(packed), padded)
    assert torch.equal(layout.mask, mask)
    # One value a token, and whole numbers, work as well.
    ids = torch.arange(1, sum(lengths) + 1)
    assert torch.equal(layout.pad(ids)[layout.mask].sort().values, ids)
    assert layout.pad(ids).dtype == torch.int64


@LENGTHS
def test_layout__pack__undoes_pad(lengths):
    layout, _ = layout_of(lengths)
    packed = torch.randn(sum(lengths), 2, 3, generator=torch.Generator().manual_seed(0))
    padded = layout.pad(packed)
    assert torch.equal(layout.pack(padded), packed)
    # What stands at the pads is never read.
    padded[~layout.mask] = torch.nan
    assert torch.equal(layout.pack(padded), packed)


@LENGTHS
def test_layout__restore_and_cls_index__equal_a_plain_loop(lengths):
    layout, order = layout_of(lengths)
    per_text = torch.randn(len(lengths), 3, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(per_text)
    for text in range(len(lengths)):
        expected[order[text]] = per_text[text]
    assert torch.equal(layout.restore(per_text), expected)
    assert layout.cls_index.tolist() == [sum(lengths[:text]) for text in range(len(lengths))]


@LENGTHS
def test_layout__groups__cover_the_batch_once_with_equal_lengths(lengths):
    layout, _ = layout_of(lengths)
    seen, token = [], 0
    for text, first_token, n, length in layout.groups:
        assert text == len(seen)
        assert first_token == token
        seen += [length] * n
        token += n * length
    assert tuple(seen) == lengths
    assert len(layout.groups) == len(set(lengths))


def test_layout__pad__gradient_flows_to_every_token_once():
    layout, _ = layout_of((2, 2, 5))
    packed = torch.randn(9, 3, requires_grad=True)
    layout.pad(packed).sum().backward()
    assert torch.equal(packed.grad, torch.ones(9, 3))


@LENGTHS
def test_layout__spread_and_gather__equal_a_plain_loop(lengths):
    layout, _ = layout_of(lengths)
    packed = torch.randn(sum(lengths), 2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    spread = layout.spread(packed)
    assert spread.shape == (len(lengths), max(lengths), 2, 3)
    start = 0
    for text, length in enumerate(lengths):
        own = packed[start : start + length]
        assert torch.equal(spread[text, :length], own)
        assert torch.equal(spread[text, length:], own[-1:].expand(max(lengths) - length, 2, 3))
        assert layout.spread_mask[text].tolist() == [place < length for place in range(max(lengths))]
        start += length
    assert torch.equal(layout.gather(spread), packed)
    # Copies get no gradient.
    weights = torch.arange(float(spread.numel())).view(spread.shape)
    (spread * weights).sum().backward()
    assert torch.equal(packed.grad, layout.gather(weights))


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("lengths", [(3,), (3, 7, 16), (5, 9, 17, 17, 18, 60, 61, 61), (40, 41, 90, 300)], ids=str)
def test_layout__evened__the_same_texts_in_fewer_groups(lengths, drops):
    attended = torch.arange(sum(lengths)) % 4 != 3 if drops else None
    layout = Layout(lengths, torch.arange(len(lengths)).flip(0), attended)
    evened = layout.evened
    assert layout.evened is evened
    assert len(evened.layout.groups) < len(layout.groups) or len(lengths) == 1
    assert torch.equal(evened.layout.order, layout.order)
    packed = torch.arange(sum(lengths))
    padded = packed[evened.sources].split(evened.layout.lengths)
    keys = evened.layout.attended.split(evened.layout.lengths)
    start = 0
    for length, own, key in zip(lengths, padded, keys, strict=True):
        tokens = packed[start : start + length]
        assert len(own) >= max(length, 16)
        assert torch.equal(own[:length], tokens)
        assert (own[length:] == tokens[-1]).all()
        assert torch.equal(key[:length], torch.ones(length) == 1 if attended is None else attended[tokens])
        assert not key[length:].any()
        start += length
    assert torch.equal(packed[evened.sources][evened.cells], packed)


@pytest.mark.parametrize("lengths", [(16,), (20, 20), (20, 60, 200)], ids=str)
def test_layout__evened__nothing_to_gain_nothing_done(lengths):
    assert Layout(lengths, torch.arange(len(lengths))).evened is None


@LENGTHS
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("one_query", [False, True])
@pytest.mark.parametrize("drops", [False, True])
def test_layout__key_mask__equals_a_plain_loop(lengths, window, one_query, drops):
    attended = torch.arange(sum(lengths)) % 4 != 3 if drops else None
    layout = Layout(lengths, torch.arange(len(lengths)), attended)
    mask = layout.key_mask(torch.bfloat16, window, one_query)
    longest, start = max(lengths), 0
    if mask is None:
        assert len(set(lengths)) == 1
        assert not drops
        assert window is None or longest <= window + 1
        return
    assert mask.dtype == torch.bfloat16
    assert layout.key_mask(torch.bfloat16, window, one_query) is mask
    mask = mask.expand(len(lengths), 1, 1 if one_query else longest, longest)
    for text, length in enumerate(lengths):
        # What padding attends to is not read, but it must be something.
        assert torch.isfinite(mask[text, 0]).any(dim=1).all() or drops
        for query in range(1 if one_query else length):
            expected = [
                key < length
                and (window is None or abs(query - key) <= window)
                and (not drops or bool(attended[start + key]))
                for key in range(longest)
            ]
            assert (mask[text, 0, query] == 0).tolist() == expected
        start += length
