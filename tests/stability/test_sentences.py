"""What may be said of a comparison: who beats whom, where only these texts tell, and who failed."""

import numpy as np
import pytest

from skbert.stability._comparison import StandIn, compare_pairs


def scores(n, seed=0):
    return np.random.default_rng(seed).normal(0.7, 0.03, n)


def compare(a, b, score="accuracy", **parameters):
    given = {"test_share": 1 / 3, "n_texts": 60, **parameters}
    return compare_pairs(np.asarray(a, float), np.asarray(b, float), "A", "B", score, 32, **given)


def test_difference_that_holds_for_other_texts__is_called_a_victory():
    b = scores(12)
    better = compare(b + 0.031 + np.linspace(0, 0.001, 12), b)
    assert str(better) == (
        "A beats B by 3.2 points of accuracy with 32 training texts (95% interval for other texts of this kind 3.1 to "
        f"3.2, p = {better.pvalue:.2g}; on these 60 texts 3.1 to 3.2, n = 12 paired runs, sign-flip p = 0.00049)."
    )
    worse = compare(b, b + 0.031 + np.linspace(0, 0.001, 12))
    assert str(worse).replace("B beats A", "A beats B") == str(better)


def test_difference_on_these_texts_only__is_not_called_one():
    b = scores(12)
    found = compare(b + 0.02 + 0.02 * np.tile([1, -1], 6), b)
    low, high = 100 * found.low, 100 * found.high
    assert str(found) == (
        "On these 60 texts A scores 2.0 points of accuracy higher than B with 32 training texts (95% interval "
        f"{100 * found.low_here:.1f} to {100 * found.high_here:.1f}, n = 12 paired runs, sign-flip p = "
        f"{found.permutation_pvalue:.2g}); for other texts of this kind this cannot be told: {low:.1f} to {high:.1f}, "
        f"p = {found.pvalue:.2g}."
    )
    assert found.low < 0 < found.low_here
    assert "beats" not in str(found)
    turned = compare(b, b + 0.02 + 0.02 * np.tile([1, -1], 6))
    assert str(turned) == str(found).replace("A scores", "B scores").replace("than B", "than A")


def test_no_difference__is_said_with_both_intervals():
    b = scores(12)
    text = str(compare(b + np.tile([0.01, -0.01], 6), b))
    assert text.startswith("No difference between A and B can be told: +0.0 points of accuracy with 32 training texts")
    assert "interval on these 60 texts -0.7 to +0.7, n = 12 paired runs, sign-flip p = 1; for other texts" in text


def test_few_pairs__cannot_show_any_difference():
    b = scores(12)
    few = compare(b[:4] + 0.1 + np.linspace(0, 0.01, 4), b[:4])
    assert few.smallest_pvalue == 0.125
    assert few.pvalue < 0.05
    assert str(few).startswith("No difference between A and B can be told")
    assert "With so few pairs (4), the sign-flip test cannot show any difference." in str(few)
    assert str(compare([0.5, 0.6], [0.4, 0.4])) == (
        "No difference between A and B can be told: +15.0 points of accuracy with 32 training texts, from 2 paired "
        "runs; a test and an interval need 3."
    )


def test_adjusted_pvalues__are_said_to_be_so_and_the_intervals_not():
    b = scores(12)
    found = compare(b + 0.03 + np.linspace(0, 0.001, 12), b)
    text = found.sentence(pvalue=0.01, pvalue_here=0.02, n_comparisons=5)
    assert "p = 0.01;" in text
    assert "sign-flip p = 0.02)" in text
    assert text.endswith("The p-values are adjusted for 5 comparisons; the intervals are for this comparison alone.")


def test_pairs_without_a_score__are_named_with_who_failed():
    found = compare([0.5, np.nan, 0.7, np.nan], [0.4, 0.5, np.nan, np.nan])
    assert (found.n, found.n_dropped, found.failed_a, found.failed_b) == (1, 3, 2, 2)
    assert str(found).endswith("3 of 4 pairs are left out: A failed in 2 runs and B failed in 2 runs.")
    assert str(compare([np.nan], [0.5])) == (
        "No difference between A and B can be told: there is no pair of runs that both have a score. 1 of 1 pairs are "
        "left out: A failed in 1 runs."
    )


def test_winner_among_survivors__is_not_said_to_beat():
    b = scores(30)
    a = b + 0.1 + 0.01 * np.tile([1, -1], 15)
    a[:18] = np.nan
    text = str(compare(a, b, stand_in=StandIn("the score of majority on the same draw", np.full(30, 0.5))))
    assert text.startswith("On these 60 texts A scores")
    assert "beats" not in text
    assert "among runs that did not fail. 18 of 30 pairs are left out: A failed in 18 runs." in text
    assert "If failed runs get the score of majority on the same draw, the difference A minus B is -" in text


def test_crossed_cells__are_called_so_and_one_draw_too():
    rng = np.random.default_rng(0)
    factors = [axis.ravel() for axis in np.meshgrid(range(3), range(3), range(3), indexing="ij")]
    b = rng.normal(0.7, 0.01, 27)
    assert "n = 27 paired cells, p = " in str(compare(b + rng.normal(0.1, 0.01, 27), b, factors=factors))
    one = [np.zeros(9, dtype=int), *[axis[:9] for axis in factors[1:]]]
    text = str(compare(b[:9] + rng.normal(0.1, 0.01, 9), b[:9], factors=one))
    assert text.startswith("On one draw of these 60 texts A scores")
    assert text.endswith("; this says nothing about other draws and other texts.")


def test_equal_differences__have_no_interval():
    b = scores(8)
    text = str(compare(b + 0.1, b))
    assert "A beats B by 10.0 points" in text
    assert "interval for other texts of this kind unknown, because all differences are equal, p = 0.0078" in text


@pytest.mark.parametrize(("score", "unit"), [("neg_log_loss", "0.500 neg_log_loss"), ("r2", "50.0 points of r2")])
def test_unit__is_points_for_shares_and_the_score_itself_for_losses(score, unit):
    b = -scores(8)
    assert f"A beats B by {unit}" in str(compare(b + 0.5 + np.linspace(0, 0.001, 8) - 0.0005, b, score))
