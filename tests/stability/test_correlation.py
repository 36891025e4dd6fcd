"""Rank correlation over runs, within variants: against scipy, and against what simulated runs were made of."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skbert import StabilityStudy
from skbert.stability import Correlation, correlate_runs
from tests.helpers.study_models import Constant, Guesser, labelled_texts, study

pytestmark = pytest.mark.filterwarnings("ignore:With seeds=")


def runs_of(x, y, size=32):
    """A table of runs from arrays (n_draws, n_variants)."""
    n_draws, n_variants = x.shape
    frame = pd.DataFrame(
        [(f"v{g}", size, draw, x[draw, g], y[draw, g]) for draw in range(n_draws) for g in range(n_variants)],
        columns=["variant", "size", "draw", "x", "y"],
    )
    return frame.assign(init_seed=pd.NA, order_seed=pd.NA, status="ok")


def correlate(x, y, **parameters):
    x, y = (np.asarray(each, dtype=float).reshape(len(each), -1) for each in (x, y))
    return correlate_runs(runs_of(x, y), "x", "y", **{"n_texts": 60, **parameters})


def related(n, rho=0.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


# ---------------------------------------------------------------- the estimate


@pytest.mark.parametrize("n", [2, 5, 12, 40])
@pytest.mark.parametrize("digits", [0, 8])
def test_one_variant__has_the_correlation_of_scipy_also_with_ties(n, digits):
    x, y = related(n, seed=3)
    found = correlate(x, np.round(y, digits))
    assert found.rho == pytest.approx(stats.spearmanr(x, np.round(y, digits)).statistic)
    assert (found.n_runs, found.n_effective) == (n, pytest.approx(n))


def test_pvalue__is_that_of_all_permutations():
    x, y = related(7, seed=1)
    y = np.round(y)  # ties
    observed = abs(stats.spearmanr(x, y).statistic)
    null = [abs(stats.spearmanr(x, y[list(order)]).statistic) for order in itertools.permutations(range(7))]
    exact = np.mean(np.array(null) >= observed - 1e-9)
    assert correlate(x, y).permutation_pvalue == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))


def test_pvalue__nearly_equals_scipys_and_is_never_zero():
    x, y = related(30, 0.4)
    reference = stats.permutation_test(
        (x,), lambda x: stats.spearmanr(x, y).statistic, permutation_type="pairings", n_resamples=3000, rng=0
    )
    assert correlate(x, y).permutation_pvalue == pytest.approx(reference.pvalue, abs=0.02)
    assert correlate(x, x).permutation_pvalue == 1e-4


def test_interval_of_one_variant__is_that_of_bonett_and_wright():
    # The example of ci.spear in R's statpsych.
    y = [21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19]
    x = [67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51]
    found = correlate(x, y)
    assert (found.rho, found.low, found.high) == pytest.approx((0.8699639, 0.5840951, 0.9638297))
    assert correlate(x, y, level=0.5).high < found.high


def test_pooled_correlation__is_the_mean_of_those_of_the_variants_weighted_by_their_runs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 15, 3))
    y[9:, 1] = np.nan
    x[5:, 2] = np.nan
    found = correlate(x, y)
    rows = [slice(None), slice(9), slice(5)]
    each = [stats.spearmanr(x[r, g], y[r, g]).statistic for g, r in enumerate(rows)]
    assert found.rho == pytest.approx(np.average(each, weights=[14, 8, 4]))
    assert found.by_variant["rho"].to_numpy() == pytest.approx(np.array(each))
    assert found.by_variant["n"].tolist() == [15, 9, 5]
    assert (found.n_runs, found.n_dropped) == (29, 16)


def test_relation_within_variants__is_found_where_that_between_variants_is_the_reverse():
    # Simpson: whatever variant has the larger x has the smaller y, and in each variant it is the other way round.
    rng = np.random.default_rng(0)
    means = np.array([0.0, 10.0, 20.0])
    x = means + rng.normal(size=(15, 3))
    y = -means + (x - means) + 0.5 * rng.normal(size=(15, 3))
    assert stats.spearmanr(x.ravel(), y.ravel()).statistic < -0.6
    found = correlate(x, y)
    assert found.low > 0.5
    assert found.permutation_pvalue == 1e-4
    assert "a higher x goes with a higher y" in str(found)


def test_sizes__are_as_variants_are():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 1))
    y = x + 0.5 * rng.normal(size=(12, 1))
    larger = runs_of(x + 100, y - 100, size=64)
    found = correlate_runs(pd.concat([runs_of(x, y), larger], ignore_index=True), "x", "y")
    assert found.size is None
    assert found.rho == pytest.approx(stats.spearmanr(x[:, 0], y[:, 0]).statistic)
    # The second size repeats the first, on the same draws, and is no more evidence.
    assert (found.n_runs, found.n_effective) == (24, pytest.approx(12))
    assert correlate(x, y).low == pytest.approx(found.low)


def test_order_of_the_rows_and_scale_of_the_scores__do_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 10, 2))
    found = correlate(x, y)
    assert correlate(np.exp(x), 100 * y - 7) == found
    shuffled = runs_of(x, y).sample(frac=1, random_state=0)
    again = correlate_runs(shuffled.reset_index(drop=True), "x", "y", n_texts=60)
    assert (again.rho, again.low) == pytest.approx((found.rho, found.low))
    assert correlate(y, x).rho == pytest.approx(found.rho)
    assert correlate(-x, y).rho == pytest.approx(-found.rho)


# ---------------------------------------------------------------- how often it is true


def simulated(rng, n_draws, n_variants, rho, shared, ties=None):
    """Scores with the correlation `rho` in each variant; `shared` is the share of their variance that is the draw's."""

    def normal():
        own, common = rng.normal(size=(n_draws, n_variants)), rng.normal(size=(n_draws, 1))
        return np.sqrt(1 - shared) * own + np.sqrt(shared) * common

    x = normal()
    y = rho * x + np.sqrt(1 - rho**2) * normal()
    # As the accuracy on `ties` test texts.
    return x, y if ties is None else np.round(ties * stats.norm.cdf(y))


N_STUDIES = 300
# More than three standard errors of a share of 0.05 in so many studies.
MARGIN = 3.3 * np.sqrt(0.05 * 0.95 / N_STUDIES)


@pytest.mark.parametrize(("n_draws", "n_variants", "shared"), [(8, 1, 0.0), (12, 4, 0.0), (12, 4, 0.8)])
def test_unrelated_scores__are_called_related_as_often_as_the_level_says(n_draws, n_variants, shared):
    rng, rejected, said, alone = np.random.default_rng(0), [], [], []
    for _ in range(N_STUDIES):
        x, y = simulated(rng, n_draws, n_variants, 0.0, shared, ties=15)
        found = correlate(x, y, rng=rng, n_permutations=199)
        rejected.append(found.permutation_pvalue <= 0.05)
        said.append("goes with a" in str(found))
        # As if the runs of different variants were independent.
        alone.append(abs(np.arctanh(found.rho)) * np.sqrt(found.n_runs - n_variants - 2) > 1.96)
    assert np.mean(rejected) == pytest.approx(0.05, abs=MARGIN)
    assert np.mean(said) <= 0.05 + MARGIN
    if shared:
        assert np.mean(alone) > 0.15


@pytest.mark.parametrize(
    ("n_draws", "n_variants", "rho", "shared"),
    [(8, 1, 0.6, 0.0), (20, 1, 0.9, 0.0), (12, 4, 0.5, 0.0), (12, 4, 0.5, 0.8)],
)
def test_interval__holds_the_truth(n_draws, n_variants, rho, shared):
    # Spearman's correlation of normal scores.
    rng, truth = np.random.default_rng(1), 6 / np.pi * np.arcsin(rho / 2)
    found = [correlate(*simulated(rng, n_draws, n_variants, rho, shared), n_permutations=1) for _ in range(N_STUDIES)]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.95 - MARGIN <= held <= 0.99


def test_variants_that_agree__are_fewer_runs_than_variants_that_do_not():
    rng = np.random.default_rng(0)
    apart, alike = (correlate(*simulated(rng, 40, 5, 0.0, shared)) for shared in (0.0, 0.95))
    assert apart.n_runs == alike.n_runs == 200
    assert 120 < apart.n_effective <= 196
    assert 40 <= alike.n_effective < 60
    assert alike.high - alike.low > 1.5 * (apart.high - apart.low)


# ---------------------------------------------------------------- what cannot be judged


def test_few_runs__cannot_be_judged_however_well_they_agree():
    for n in (2, 3, 4):
        found = correlate(range(n), range(n))
        assert found.rho == pytest.approx(1)
        assert str(found).startswith(
            f"Whether x goes with y cannot be judged from {n} runs of v0 with 32 training texts"
        )
        assert np.isnan(found.low) == (n < 4)
        assert str(found).endswith("an interval needs more runs.") == (n < 4)
    six = correlate(range(6), range(6))
    # In order, but with so few runs it may be an accident of a weaker relation.
    assert six.low < 0.8
    assert six.high == six.rho


def test_wide_interval__is_said_with_its_numbers():
    x, y = related(10, 0.2, seed=5)
    found = correlate(x, y)
    assert str(found) == (
        "Whether x goes with y cannot be judged from 10 runs of v0 with 32 training texts on these 60 texts: "
        f"Spearman's rho {found.rho:+.2f}, 95% interval {found.low:+.2f} to {found.high:+.2f}, permutation p = "
        f"{found.permutation_pvalue:.2g}."
    )
    assert found.low < 0 < found.high


def test_relation__is_said_with_its_direction_its_numbers_and_what_was_compared():
    x, y = related(20, 0.9)
    found = correlate(np.column_stack([x, x[::-1]]), np.column_stack([-y, -y[::-1]]))
    assert str(found) == (
        "Among 40 runs of 2 variants with 32 training texts on these 60 texts, compared within variant, a higher x "
        f"goes with a lower y (Spearman's rho {found.rho:+.2f}, 95% interval {found.low:+.2f} to {found.high:+.2f}, "
        "permutation p = 0.0001)."
    )
    assert "cannot be judged" in found.sentence(alpha=1e-5)


def test_narrow_interval_around_zero__is_a_relation_that_is_weak_at_most():
    rng = np.random.default_rng(0)
    found = correlate(*rng.normal(size=(2, 300)))
    assert -0.3 < found.low < 0 < found.high < 0.3
    assert str(found).startswith(
        "Among 300 runs of v0 with 32 training texts on these 60 texts, x and y are at most weakly"
    )


def test_score_that_does_not_vary__is_named():
    x, y = related(10)
    found = correlate(x, np.ones(10))
    assert np.isnan([found.rho, found.low, found.high, found.permutation_pvalue]).all()
    assert (found.n_runs, found.by_variant["constant"].tolist()) == (0, ["y"])
    assert str(found) == "Whether x goes with y cannot be judged: y does not vary from run to run of a variant."
    both = correlate(np.column_stack([np.ones(10), x]), np.column_stack([y, np.zeros(10)]))
    assert "cannot be judged: one of the two does not vary" in str(both)
    # A variant in which nothing varies does not dilute the others.
    partly = correlate(np.column_stack([x, x]), np.column_stack([y, np.ones(10)]))
    alone = correlate(x, y)
    assert (partly.rho, partly.low, partly.n_runs) == (alone.rho, alone.low, 10)
    assert str(partly) == f"{alone} 10 runs of v1 are not used, because y does not vary there."


def test_no_two_runs__are_said_to_be_too_few():
    assert str(correlate([1], [2])) == (
        "Whether x goes with y cannot be judged: no variant has two runs with both scores."
    )
    empty = correlate_runs(runs_of(np.ones((1, 1)), np.ones((1, 1)))[:0], "x", "y")
    assert "no variant has two runs" in str(empty)


def test_runs_without_one_of_the_two__are_left_out_and_counted():
    x, y = related(12, 0.9)
    y[[2, 5]] = np.nan
    x[5] = np.nan
    found = correlate(x, y)
    keep = np.isfinite(x + y)
    assert found.rho == pytest.approx(stats.spearmanr(x[keep], y[keep]).statistic)
    assert str(found).endswith("2 runs are left out because they lack one of the two.")


def test_draws_that_some_variants_lack__are_permuted_among_those_that_lack_the_same():
    # No draw has both variants: nothing is shared, and each variant is permuted by itself.
    rng = np.random.default_rng(4)
    x, y = simulated(rng, 8, 2, 0.6, 0.0)
    y[:4, 1], y[4:, 0] = np.nan, np.nan
    parts = [(x[:4, 0], y[:4, 0]), (x[4:, 1], y[4:, 1])]
    each = [
        [stats.spearmanr(a, b[list(order)]).statistic for order in itertools.permutations(range(4))] for a, b in parts
    ]
    null = abs(np.add.outer(*each))
    exact = np.mean(null >= null[0, 0] - 1e-9)
    found = correlate(x, y)
    assert found.permutation_pvalue == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))
    assert found.n_effective == pytest.approx(7)


def test_cells_of_a_crossed_design__have_no_test_and_no_interval():
    cells = pd.DataFrame(itertools.product(range(3), range(4)), columns=["init_seed", "order_seed"])
    x, y = related(12)
    runs = cells.assign(variant="v0", size=32, draw=0, x=x, y=y, status="ok")
    found = correlate_runs(runs, "x", "y", n_texts=60)
    assert (found.unit, found.rho) == ("cells", pytest.approx(stats.spearmanr(x, y).statistic))
    assert np.isnan([found.low, found.high, found.permutation_pvalue, found.n_effective]).all()
    assert str(found).startswith(
        "Whether x goes with y cannot be judged from 12 cells of v0 with 32 training texts on one"
    )
    assert str(found).endswith(
        "cells share draws and seeds, so there is no test and no interval: give seeds as an int."
    )
    # Where only one factor varies, every run has a level of its own.
    one = correlate_runs(runs.assign(init_seed=range(12), order_seed=0), "x", "y")
    assert one.unit == "runs"
    assert one.permutation_pvalue == correlate(x, y).permutation_pvalue


# ---------------------------------------------------------------- of a study


def seed_of(fitted, X, y):
    """Follows the seed alone; TF-IDF with logistic regression has no such attribute."""
    return fitted.random_state % 1000


def seed_reversed(fitted, X, y):
    return -(getattr(fitted, "random_state", 0) % 1000) / 7


@pytest.fixture(scope="module")
def done():
    variants = {"a": {"luck": 0.3}, "b": {"luck": 0.8}}
    return study(
        variants=variants,
        seeds=12,
        train_sizes=[8, 16],
        baselines=("majority", "tfidf"),
        scoring={"accuracy": "accuracy", "back": seed_reversed},
        train_scoring={"seed": seed_of, "accuracy": "accuracy"},
    ).fit(*labelled_texts(60))


def test_correlate__asks_the_runs_of_the_variants_and_no_null_model(done):
    found = done.correlate("seed", "back")
    assert isinstance(found, Correlation)
    assert (found.a, found.b, found.rho, found.n_runs) == ("train_seed", "back", pytest.approx(-1), 48)
    assert found.by_variant["variant"].tolist() == ["a", "b", "a", "b"]
    runs = done.results_[(done.results_["size"] == 16) & done.results_["variant"].isin(["a", "b"])]
    by_hand = [
        stats.spearmanr(group["train_accuracy"], group["accuracy"]).statistic for _, group in runs.groupby("variant")
    ]
    assert done.correlate("train_accuracy", "accuracy", 16).rho == pytest.approx(np.mean(by_hand))
    assert done.correlate("train_accuracy", "accuracy", size=16).size == 16


def test_correlate__takes_a_name_for_a_score_first_and_then_for_a_training_score(done):
    assert done.correlate("accuracy", "train_accuracy").a == "accuracy"
    assert done.correlate("train_seed", "accuracy") == done.correlate("seed", "accuracy")


def test_correlate__of_something_constant_says_so(done):
    assert str(done.correlate("n_iter", "accuracy")) == (
        "Whether n_iter goes with accuracy cannot be judged: n_iter does not vary from run to run of a variant."
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("sharpness", "accuracy"),
            r"no score 'sharpness'; the scores are \['accuracy', 'back'\], the training scores",
        ),
        (("accuracy", "status"), "no score 'status'"),
        (("accuracy", None), "no score None"),
        (("seed", "train_seed"), "a and b are both 'train_seed'"),
        (("seed", "accuracy", 9), "size=9 is none of"),
    ],
)
def test_correlate__refuses_what_is_not_there(done, given, message):
    with pytest.raises(ValueError, match=message):
        done.correlate(*given)
    with pytest.raises(ValueError, match="level must be"):
        done.correlate("seed", "accuracy", level=95)


def test_correlate__gives_the_same_answer_twice_and_from_any_number_of_processes(data):
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "seeds": 8, "train_scoring": "accuracy"}
    one, two = (study(**given, n_jobs=n).fit(*data) for n in (1, 2))
    found = one.correlate("train_accuracy", "accuracy")
    assert found == one.correlate("train_accuracy", "accuracy") == two.correlate("train_accuracy", "accuracy")
    assert found.by_variant.equals(two.correlate("train_accuracy", "accuracy").by_variant)


def test_correlate__of_failed_runs_leaves_out_those_without_a_score_and_counts_the_others(data):
    variants = {"risky": {"fails_on": (0,)}, "stuck": Constant()}
    with pytest.warns(RuntimeWarning, match="runs failed"):
        some = study(variants=variants, seeds=10, train_scoring="accuracy").fit(*data)
    n_raised = int(some.results_["accuracy"].isna().sum())
    assert 0 < n_raised < 9
    found = some.correlate("train_accuracy", "accuracy")
    assert (found.n_runs, found.n_dropped, found.n_failed) == (20 - n_raised, n_raised, 10)
    assert str(found).endswith(
        f"{n_raised} runs are left out because they lack one of the two. 10 of the runs failed but have both scores, "
        "and count."
    )


def test_correlate__of_an_interrupted_study_takes_what_is_there(data, diary, monkeypatch):
    def stop_at_the_seventh(self, X, y, fit=Guesser.fit):
        if len(diary) == 6:
            raise KeyboardInterrupt
        return fit(self, X, y)

    stopped = study(variants={"a": {}, "b": {}}, seeds=6, train_scoring={"seed": seed_of})
    with monkeypatch.context() as patch:
        patch.setattr(Guesser, "fit", stop_at_the_seventh)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(*data)
    assert stopped.correlate("seed", "accuracy").n_runs == 6


def test_correlate__of_a_crossed_study_is_not_judged(data):
    crossed = StabilityStudy(
        Guesser(), seeds={"init": 3, "order": 3}, baselines=(), train_scoring="accuracy", random_state=0
    ).fit(*data)
    assert "cells share draws and seeds" in str(crossed.correlate("train_accuracy", "accuracy"))


def test_conclusions__say_nothing_of_correlations(done):
    assert not any("goes with" in sentence or "train_" in sentence for sentence in done.conclusions())
