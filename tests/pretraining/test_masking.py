"""Which tokens are masked and what replaces them, against counts and closed formulas."""

import numpy as np
import pytest

from skbert.encoder import load_encoder
from skbert.pretraining._masking import (
    Masking,
    draw_spans,
    draw_tokens,
    draw_units,
    fixed_masks,
    n_to_mask,
    span_length,
)
from skbert.pretraining._weights import CallableWeights, TokenWeights
from skbert.text import check_texts, word_numbers
from tests.encoder.test_loading import write_japanese
from tests.helpers.masked import TEXTS, corpus_of


def masking_of(
    folder, *, texts=TEXTS, weights=None, rate=0.15, numbers=None, spans=False, seed=0, drop=False, **others
):
    corpus, vocabulary = corpus_of(folder, texts, numbers=numbers)
    replacement = others.get("replacement", (0.8, 0.1, 0.1))
    generator = np.random.default_rng(seed)
    settings = {"rate": rate, "spans": spans, "replacement": replacement, "drop": drop, "generator": generator}
    return Masking(corpus, vocabulary, weights, **settings)


@pytest.mark.parametrize(("rate", "n", "expected"), [(0.15, 1, 1), (0.15, 10, 2), (0.15, 9, 1), (0.4, 10, 4)])
def test_n_to_mask__is_the_rounded_share_and_at_least_one(rate, n, expected):
    assert n_to_mask(rate, n) == expected


@pytest.mark.parametrize("spans", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_draw__each_text__has_exactly_n_masked_tokens_and_no_special_one(tiny, rate, weighted, spans):
    weights = TokenWeights(np.linspace(1, 2, 500)) if weighted else None
    masking = masking_of(tiny(), rate=rate, spans=spans, weights=weights)
    special = load_encoder(tiny()).tokenizer.all_special_ids
    for _ in range(20):
        masked = masking.draw(range(len(masking.corpus)))
        for places, targets, found in zip(masked.places, masked.targets, masking.corpus.places, strict=True):
            assert len(np.unique(places)) == len(places) == max(1, round(rate * len(found)))
            assert not np.isin(targets, special).any()


def test_draw__original_and_masked_ids__differ_at_masked_places_only(tiny):
    masking = masking_of(tiny(), replacement=(1, 0, 0))
    masked = masking.draw(range(len(TEXTS)))
    mask = load_encoder(tiny()).tokenizer.mask_token_id
    for before, after, places, targets in zip(
        masking.corpus.tokens.input_ids, masked.tokens.input_ids, masked.places, masked.targets, strict=True
    ):
        assert np.array_equal(np.flatnonzero(before != after), places)
        assert (after[places] == mask).all()
        assert np.array_equal(before[places], targets)


def test_draw__equal_weights__masks_every_place_equally_often(tiny):
    masking = masking_of(tiny(), texts=["one two three red green blue lamp order fine good"], rate=0.3)
    n_draws, places = 4000, masking.corpus.places[0]
    counts = sum(np.bincount(masking.draw([0]).places[0], minlength=len(places) + 2) for _ in range(n_draws))
    share = counts[places] / n_draws
    error = np.sqrt(0.3 * 0.7 / n_draws)
    assert np.abs(share - 0.3).max() < 4.5 * error


def test_draw__replacements__have_their_shares_and_are_never_special(tiny):
    texts = [" ".join(["one two three red green blue lamp order fine good"] * 3)]
    masking = masking_of(tiny(), texts=texts, rate=0.9, replacement=(0.5, 0.3, 0.2))
    tokenizer = load_encoder(tiny()).tokenizer
    ids, before = [], []
    for _ in range(300):
        masked = masking.draw([0])
        ids.append(masked.tokens.input_ids[0][masked.places[0]])
        before.append(masked.targets[0])
    ids, before = np.concatenate(ids), np.concatenate(before)
    is_mask, error = ids == tokenizer.mask_token_id, np.sqrt(0.25 / len(ids))
    assert abs(is_mask.mean() - 0.5) < 4.5 * error
    # A random token is the original one by chance, once in the size of the vocabulary.
    assert abs((~is_mask & (ids != before)).mean() - 0.3) < 4.5 * error + 0.3 / len(masking.vocabulary.replacing)
    assert not np.isin(ids[~is_mask], tokenizer.all_special_ids).any()


def test_replacing__vocabulary_with_unused_entries__leaves_them_out(minilm):
    _, vocabulary = corpus_of(minilm)
    names = load_encoder(minilm).tokenizer.convert_ids_to_tokens(vocabulary.replacing.tolist())
    assert not [
        name for name in names if name.startswith("[unused") or name in ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]")
    ]
    assert len(names) == 30522 - 994 - 5


# ---------------------------------------------------------------- weights


def test_draw_tokens__one_of_several__has_the_share_of_its_weight():
    weights, generator = np.array([1.0, 2.0, 3.0, 4.0]), np.random.default_rng(0)
    n = 20_000
    counts = np.bincount([draw_tokens(1, np.log(weights), generator)[0] for _ in range(n)], minlength=4)
    assert np.abs(counts / n - weights / 10).max() < 4.5 * np.sqrt(0.25 / n)


def test_draw_tokens__two_of_three__have_the_shares_of_drawing_one_by_one():
    weights, generator = np.array([1.0, 2.0, 5.0]), np.random.default_rng(0)
    shares, n = weights / weights.sum(), 20_000
    counts = np.zeros(3)
    for _ in range(n):
        counts[draw_tokens(2, np.log(weights), generator)] += 1
    # Drawn first, or second after one of the others.
    others = [[other for other in range(3) if other != each] for each in range(3)]
    expected = [shares[i] + sum(shares[j] * shares[i] / (1 - shares[j]) for j in others[i]) for i in range(3)]
    assert np.abs(counts / n - expected).max() < 4.5 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("draw", ["tokens", "units", "spans"])
def test_draw__weight_of_zero__is_never_masked(draw):
    generator = np.random.default_rng(0)
    log_weights = np.log(np.array([1.0, 1e-300, 1.0, 1.0]))
    log_weights[1] = -np.inf
    for _ in range(200):
        if draw == "tokens":
            drawn = draw_tokens(4, log_weights, generator)
        elif draw == "units":
            drawn = draw_units(4, np.arange(4), log_weights, generator)
        else:
            drawn = draw_spans(1, 4, log_weights, generator)
        assert 1 not in drawn


def test_draw__weights_of_zero_everywhere__mask_nothing(tiny):
    masking = masking_of(tiny(), weights=CallableWeights(lambda ids: np.zeros(len(ids))))
    assert masking.draw([0, 1]).n_masked == 0


# ---------------------------------------------------------------- units


def all_or_none(masking, numbers):
    for _ in range(30):
        masked = masking.draw(range(len(masking.corpus)))
        for row, places in enumerate(masked.places):
            touched = np.unique(numbers[row][places])
            assert np.array_equal(np.flatnonzero(np.isin(numbers[row], touched)), places)
            n = n_to_mask(masking.rate, len(masking.corpus.places[row]))
            sizes = np.bincount(masking.corpus.units[row])
            assert n <= len(places) < n + sizes.max()


def test_draw__whole_words_of_english__all_pieces_or_none(minilm):
    texts = check_texts(["tokenization of unhappinesses is unbelievably time-consuming", "reparametrization"])
    numbers = word_numbers(texts, load_encoder(minilm).tokenizer, 64)
    masking = masking_of(minilm, texts=texts.first, numbers=numbers, rate=0.3)
    assert max(np.bincount(masking.corpus.units[0])) > 1
    all_or_none(masking, numbers)


def test_draw__whole_words_of_japanese__all_pieces_or_none(tmp_path):
    folder = write_japanese(tmp_path / "model", "character")
    texts = check_texts(["荷物が届きません"])
    numbers = word_numbers(texts, load_encoder(folder).tokenizer, 32)
    assert len(np.unique(numbers[0])) - 1 == 5  # an unspaced sentence is many words
    masking = masking_of(folder, texts=texts.first, numbers=numbers, rate=0.3)
    assert sorted(np.bincount(masking.corpus.units[0])) == [1, 1, 2, 2, 2]
    all_or_none(masking, numbers)


def test_draw_units__weights__a_unit_has_the_mean_of_its_places():
    units, weights, generator = np.array([0, 0, 1]), np.array([1.0, 5.0, 3.0]), np.random.default_rng(0)
    n = 10_000
    share = np.mean([len(draw_units(1, units, np.log(weights), generator)) == 1 for _ in range(n)])
    assert abs(share - 0.5) < 4.5 * np.sqrt(0.25 / n)


# ---------------------------------------------------------------- spans


def test_span_length__has_the_mean_of_the_cut_geometric_distribution():
    generator = np.random.default_rng(0)
    lengths = np.array([span_length(generator) for _ in range(20_000)])
    k = np.arange(1, 11)
    shares = 0.2 * 0.8 ** (k - 1) / (1 - 0.8**10)
    mean = (k * shares).sum()
    assert mean == pytest.approx(3.797, abs=5e-4)
    assert lengths.max() == 10
    assert lengths.min() == 1
    assert abs(lengths.mean() - mean) < 4.5 * np.sqrt((k**2 * shares).sum() - mean**2) / np.sqrt(len(lengths))


def test_draw_spans__long_text__masks_runs():
    generator = np.random.default_rng(0)
    runs = [1 + np.sum(np.diff(draw_spans(40, 400, None, generator)) > 1) for _ in range(200)]
    # 40 tokens in spans of 3.8 on average: about 10 or 11 runs, where single tokens would make about 36.
    assert 9 < np.mean(runs) < 13


# ---------------------------------------------------------------- fixed masks


def test_fixed_masks__of_a_text__do_not_depend_on_the_others(tiny):
    corpus, vocabulary = corpus_of(tiny())
    few, _ = corpus_of(tiny(), TEXTS[5:2:-1])
    all_of_them, some = fixed_masks(corpus, vocabulary), fixed_masks(few, vocabulary)
    for row, text in enumerate(TEXTS[5:2:-1]):
        assert np.array_equal(some.places[row], all_of_them.places[TEXTS.index(text)])


def test_fixed_masks__are_mask_tokens_at_fifteen_percent(tiny):
    corpus, vocabulary = corpus_of(tiny())
    masked = fixed_masks(corpus, vocabulary)
    for places, ids, found in zip(masked.places, masked.tokens.input_ids, corpus.places, strict=True):
        assert len(places) == max(1, round(0.15 * len(found)))
        assert (ids[places] == vocabulary.mask).all()


def test_fixed_masks__places__are_spread_over_the_text(tiny):
    texts = [f"{a} {b} {c}" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh"]
    corpus, vocabulary = corpus_of(tiny(), texts)
    counts = np.bincount([places[0] for places in fixed_masks(corpus, vocabulary).places])[1:]
    assert np.abs(counts / len(texts) - 1 / 3).max() < 4.5 * np.sqrt(2 / 9 / len(texts))


def test_draw__drop__names_the_mask_token(tiny):
    masking = masking_of(tiny(), drop=True)
    batch, places, _, _ = masking.draw([0, 1, 2]).batch("cpu")
    assert np.array_equal(~batch.attended.numpy(), (batch.input_ids == masking.vocabulary.mask).numpy())
    assert len(places) == 3
