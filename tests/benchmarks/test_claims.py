"""The benchmark of claims: what it simulates is what it says, and a table that adds up."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import RidgeClassifier

from benchmarks import (
    _claims_correlations,
    _claims_fine_tuned,
    _claims_intervals,
    _claims_probe,
    _claims_victories,
    claims,
)
from benchmarks._claims_table import Claim, markdown, save, share


def test_ridge__is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    vectors, classes = rng.normal(size=(3, 60, 8)), rng.integers(0, 3, 60)
    vectors[:, :, 0] += classes
    found = _claims_victories._ridge_accuracies(vectors[:, :40], classes[:40], vectors[:, 40:], classes[40:])
    for each, accuracy in zip(vectors, found, strict=True):
        assert accuracy == RidgeClassifier().fit(each[:40], classes[:40]).score(each[40:], classes[40:])


def test_population_of_equals__favours_nobody_and_the_graded_one_the_last():
    for population, apart in ((_claims_victories.alike(), False), (_claims_victories.graded(), True)):
        scores = _claims_victories.studies(population, 100, 1.0, 30, 1)
        assert scores.shape == (30, 6, 50)
        means = scores.mean(axis=(0, 2))
        assert (np.ptp(means) > 0.1) == apart
        if apart:
            assert (np.diff(means) > 0).all()


def test_judged__counts_what_is_said_and_whether_it_is_wrong():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.01, (5, 2, 20)) + np.array([0.5, 0.7])[:, None]
    for truth, wrong in (([0.5, 0.7], False), ([0.7, 0.5], True)):
        found = _claims_victories.judged(scores, 20, 1, np.array(truth))
        assert found["said"].all()
        assert (found["wrong"] == wrong).all()
        assert (found["held"] != wrong).all()
    # Less their means, neither is better.
    assert not _claims_victories.judged(scores, 20, 1)["any"][:, 1].any()


def test_pseudo_f__is_the_usual_analysis_of_variance():
    rng = np.random.default_rng(0)
    gold = np.repeat([0, 1], 15)
    values = rng.normal(size=30) + 0.9 * gold
    found = _claims_probe.pseudo_f_pvalue(np.array([values, -values]), gold, np.zeros(30, dtype=int), 1999, rng)
    assert found == pytest.approx(stats.f_oneway(values[:15], values[15:]).pvalue, abs=0.02)


def test_percentile_interval__is_scipys():
    values = np.random.default_rng(0).random(12)
    low, high = _claims_intervals.percentile_interval(values, [], np.random.default_rng(1), 20_000)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_simulated_correlation__is_what_it_says_within_and_another_between_variants():
    rng = np.random.default_rng(0)
    runs = _claims_correlations.study(rng, 4000, 3, 0.5, 0.6, ties=False)
    for _, own in runs.groupby("variant"):
        assert stats.pearsonr(own["a"], own["b"]).statistic == pytest.approx(0.6, abs=0.05)
    by_draw = runs.pivot(index="draw", columns="variant", values="a")
    assert by_draw.corr().to_numpy()[0, 1] == pytest.approx(0.5, abs=0.05)
    unrelated = _claims_correlations.study(rng, 400, 3, 0.0, 0.0, ties=True)
    assert stats.spearmanr(unrelated["a"], unrelated["b"]).statistic > 0.1


def test_truth_of_the_best__is_that_of_normal_order_statistics():
    bias = _claims_intervals.bias_of_best(_claims_intervals.normal_scores, 10, 5, 0.0, 300)
    # The unbiased one is right on average, Dodge's is too low.
    assert abs(bias[2].mean()) < 3 * bias[2].std() / np.sqrt(300)
    assert bias[1].mean() < bias[2].mean()


def test_shrinking__makes_the_smaller_margin_the_harder_label():
    drops, gold, folds, recalls = _claims_probe.falls_by_shrinking(
        (4.5, 1.5), (0.5, 0.5), 400, np.random.default_rng(0)
    )
    assert drops.shape == (21, 400)
    assert recalls[0] > recalls[1] + 0.05
    assert np.bincount(gold).tolist() == [200, 200]
    assert set(folds) == set(range(5))


def test_other_seeds__are_another_run_of_the_same_algorithm(tiny, texts, labels, quick):
    one = _claims_fine_tuned.OtherSeeds(tiny(), **quick).fit(texts, labels)
    again = _claims_fine_tuned.MaxPoolBERTClassifier(tiny(), **{**quick, "random_state": 1}).fit(texts, labels)
    assert one.random_state == 0
    np.testing.assert_array_equal(one.predict_proba(texts), again.predict_proba(texts))


def test_table__says_what_is_asked_and_what_is_met(tmp_path):
    rows = [
        Claim("part", "low", "here", 0.2, 0.05, 0.01, most=0.06),
        Claim("part", "high", "here", None, 0.07, 0.01, most=0.06),
        Claim("part", "too high", "here", None, 0.09, 0.01, most=0.06),
        Claim("part", "covers", "here", 0.9, 0.95, 0.0, 0.93, 0.98),
        Claim("other", "only told", "there", None, 0.5, 0.1),
    ]
    assert [row.met for row in rows] == ["yes", "within error", "no", "yes", ""]
    text = save(rows, tmp_path, "")
    assert "| low | here | 0.200 | 0.050 ± 0.010 | at most 0.06 | yes |" in text
    assert "| covers | here | 0.900 | 0.950 | 0.93 to 0.98 | yes |" in text
    assert markdown(rows).count("###") == 2
    assert len((tmp_path / "claims.csv").read_text(encoding="utf-8").splitlines()) == 6
    assert share(np.array([[True, True], [False, False]])) == (0.5, 0.5)


def test_quick_run__of_every_part_that_needs_no_encoder(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv",
        ["claims", "--quick", "--jobs", "1", "--output", str(tmp_path), "--only", "components", "same"],
    )
    monkeypatch.setattr(claims, "_times", lambda options, n: 4)
    # It would silence transformers for all later tests of this process.
    monkeypatch.setattr(claims, "quiet", lambda: None)
    claims.main()
    assert "A quick run: quote no figure of it." in (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "saved in" in capsys.readouterr().out
