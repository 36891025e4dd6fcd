"""Variance components, against the analysis of variance and statsmodels."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from skbert import StabilityStudy
from skbert.stability._variance import component_intervals, variance_components, with_two_way_terms
from tests.helpers.study_models import Guesser, labelled_texts


def crossed(n_draw, n_init, n_order, stds, seed=0):
    """Scores of a balanced crossed design with effects of these standard deviations, the residual's last."""
    rng = np.random.default_rng(seed)
    levels = [axis.ravel() for axis in np.meshgrid(range(n_draw), range(n_init), range(n_order), indexing="ij")]
    scores = 0.7 + stds[-1] * rng.normal(size=len(levels[0]))
    for level, std in zip(levels, stds, strict=False):
        scores += std * rng.normal(size=level.max() + 1)[level]
    return scores, dict(zip(("draw", "init", "order"), levels, strict=True))


def anova(scores, factors):
    """Estimates of the analysis of variance of a balanced design without interactions."""
    n, mean = len(scores), scores.mean()
    rest, freedom, squares = ((scores - mean) ** 2).sum(), n - 1, {}
    for name, levels in factors.items():
        k = levels.max() + 1
        if k > 1:
            means = np.array([scores[levels == level].mean() for level in range(k)])
            squares[name] = (n / k * ((means - mean) ** 2).sum(), k)
            rest, freedom = rest - squares[name][0], freedom - (k - 1)
    residual = rest / freedom
    found = {name: (square / (k - 1) - residual) * k / n for name, (square, k) in squares.items()}
    return {**found, "interaction": residual}


@pytest.mark.parametrize("shape", [(1, 6, 5), (4, 5, 3), (1, 25, 25), (6, 4, 4)])
def test_components__of_a_balanced_design_are_those_of_the_analysis_of_variance(shape):
    scores, factors = crossed(*shape, (0.05, 0.04, 0.03, 0.01), seed=1)
    expected = anova(scores, factors)
    assert min(expected.values()) > 0
    found = variance_components(scores, factors)
    for name, variance in expected.items():
        assert found[name] == pytest.approx(variance, rel=1e-3)
    assert np.isnan(found["draw"]) == (shape[0] == 1)


def test_components__of_an_unbalanced_design_equal_statsmodels():
    scores, factors = crossed(4, 5, 4, (0.05, 0.04, 0.03, 0.01), seed=3)
    kept = np.sort(np.random.default_rng(0).permutation(len(scores))[:65])
    scores, factors = scores[kept], {name: levels[kept] for name, levels in factors.items()}
    frame = pd.DataFrame({**factors, "score": scores, "all": 1})
    formula = {name: f"0 + C({name})" for name in factors}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("score ~ 1", frame, groups="all", vc_formula=formula, re_formula="0")
        fitted = model.fit(reml=True)
    found = variance_components(scores, factors)
    for name, variance in zip(model.exog_vc.names, fitted.vcomp, strict=True):
        assert found[name] == pytest.approx(variance, rel=0.01)
    assert found["interaction"] == pytest.approx(fitted.scale, rel=0.01)


def test_components__are_never_negative():
    for seed in range(20):
        scores, factors = crossed(3, 3, 3, (0.0, 0.0, 0.0, 0.02), seed=seed)
        assert min(variance_components(scores, factors).values()) >= 0


def test_components__do_not_depend_on_the_unit_of_the_score():
    scores, factors = crossed(2, 5, 4, (0.05, 0.04, 0.03, 0.01))
    small, large = variance_components(scores, factors), variance_components(100 * scores - 7, factors)
    for name, variance in small.items():
        assert large[name] == pytest.approx(1e4 * variance, rel=1e-4)


def test_scores_that_add_up__leave_no_interaction_and_equal_scores_nothing():
    init, order = (axis.ravel() for axis in np.meshgrid(range(4), range(5), indexing="ij"))
    found = variance_components(np.array([0.1, 0.3, 0.2, 0.6])[init] + 0.1 * order, {"init": init, "order": order})
    assert found["interaction"] == 0
    assert found["init"] == pytest.approx(np.var([0.1, 0.3, 0.2, 0.6], ddof=1), rel=0.01)
    assert found["order"] == pytest.approx(np.var(0.1 * np.arange(5), ddof=1), rel=0.01)
    nothing = variance_components(np.full(20, 0.5), {"init": init, "order": order})
    assert set(nothing.values()) == {0.0}


def test_sources_that_cannot_be_told_apart__are_named():
    scores, levels = np.random.default_rng(0).random(6), np.arange(6)
    with pytest.raises(ValueError, match="'init' has another level in each of the 6 runs"):
        variance_components(scores, {"init": levels, "order": np.zeros(6, int)})
    with pytest.raises(ValueError, match="'init' and 'order' always change together"):
        variance_components(scores, {"init": levels // 2, "order": 2 - levels // 2})


def two_way(shape, stds, seed=0):
    """Scores of a balanced design with main effects, two-way effects and a residual of these standard deviations."""
    rng = np.random.default_rng(seed)
    levels = [axis.ravel() for axis in np.meshgrid(*map(range, shape), indexing="ij")]
    factors = dict(zip(("draw", "init", "order"), levels, strict=True))
    scores = stds["rest"] * rng.normal(size=len(levels[0]))
    for name, codes in with_two_way_terms(factors).items():
        scores = scores + stds.get(name, 0.0) * rng.normal(size=codes.max() + 1)[codes]
    return scores, factors


def test_two_way_terms__are_told_apart_where_a_third_factor_varies_within_them():
    _, factors = crossed(3, 4, 5, (0, 0, 0, 1))
    assert list(with_two_way_terms(factors)) == ["draw", "init", "order", "draw:init", "draw:order", "init:order"]
    _, factors = crossed(1, 4, 5, (0, 0, 0, 1))
    assert list(with_two_way_terms(factors)) == ["draw", "init", "order"]


def test_two_way_terms__of_a_balanced_design_are_those_of_the_analysis_of_variance():
    stds = dict.fromkeys(("draw", "init", "order", "draw:init", "draw:order", "init:order"), 2.0)
    scores, factors = two_way((9, 8, 7), {**stds, "rest": 0.3}, seed=4)
    frame = pd.DataFrame({**factors, "score": scores})
    model = smf.ols("score ~ C(draw) * C(init) + C(draw) * C(order) + C(init) * C(order)", frame).fit()
    table = anova_lm(model)
    mean_square = {name.replace("C(", "").replace(")", ""): row for name, row in table["mean_sq"].items()}
    rest = mean_square["Residual"]
    found = variance_components(scores, with_two_way_terms(factors))
    assert found["draw:init"] == pytest.approx((mean_square["draw:init"] - rest) / 7, rel=1e-3)
    assert found["init:order"] == pytest.approx((mean_square["init:order"] - rest) / 9, rel=1e-3)


def test_interaction_of_draw_and_init__is_not_taken_for_an_effect_of_init():
    # Additive terms alone would share it out between the two.
    plain, split = [], []
    for seed in range(60):
        scores, factors = two_way((3, 5, 5), {"draw:init": 1.0, "rest": 0.5}, seed)
        plain.append(variance_components(scores, factors)["init"])
        split.append(variance_components(scores, with_two_way_terms(factors))["init"])
    assert np.mean(split) < 0.6 * np.mean(plain)


def test_interval__of_the_residual_is_that_of_its_mean_square():
    scores, factors = crossed(1, 6, 5, (0, 0.04, 0.03, 0.01), seed=1)
    low, high = component_intervals(scores, factors)["interaction"]
    freedom, residual = 20, anova(scores, factors)["interaction"]
    expected = freedom * residual / stats.chi2.ppf([0.975, 0.025], freedom)
    assert (low, high) == pytest.approx(expected, rel=0.02)


def test_intervals__cover_what_was_planted():
    stds = {"draw": 1.0, "init": 0.7, "draw:init": 0.5, "rest": 1.0}
    covered = []
    for seed in range(200):
        scores, factors = two_way((5, 5, 4), stds, seed)
        found = component_intervals(scores, factors)
        covered.append([found[name][0] <= stds[name] ** 2 <= found[name][1] for name in ("draw", "init", "draw:init")])
    assert (np.mean(covered, axis=0) > 0.9).all()


def test_intervals__need_every_cell_once():
    scores, factors = crossed(3, 3, 3, (0.1, 0.1, 0.1, 0.1))
    assert component_intervals(scores[1:], {name: levels[1:] for name, levels in factors.items()}) == {}
    assert set(component_intervals(scores, factors)) == {*with_two_way_terms(factors), "interaction"}


def test_study__finds_what_was_planted():
    class Planted(Guesser):
        """Right more often with some initialisations; the order does nothing."""

        def predict(self, X):
            luck = np.random.default_rng(self.init_seed).uniform(0, 1)
            self.luck, self.order_seed = luck, 0
            return super().predict(X)

    X, y = labelled_texts(200)
    study = StabilityStudy(
        Planted(), seeds={"init": 6, "order": 5, "draw": 2}, baselines=("majority",), random_state=0
    ).fit(X, y)
    runs = study.results_
    assert len(runs) == 2 * (6 * 5 + 1)
    assert runs[runs["variant"] == "majority"]["init_seed"].isna().all()
    assert runs["init_seed"].nunique() == 6
    assert runs["order_seed"].nunique() == 5
    found = study.variance_components().set_index("source")
    assert found.index.tolist() == ["draw", "init", "order", "draw:init", "draw:order", "init:order", "interaction"]
    assert found["levels"].tolist() == [2, 6, 5, 12, 10, 30, 60]
    assert (found["low"] <= found["variance"]).all()
    assert (found["variance"] <= found["high"]).all()
    assert found.loc["init", "share"] > 0.7
    assert found.loc["order", "share"] < 0.1
    assert found["share"].sum() == pytest.approx(1)
    assert (found["std"] ** 2).to_numpy() == pytest.approx(found["variance"].to_numpy())


def test_variant_without_enough_runs__does_not_hide_the_others():
    X, y = labelled_texts(60)
    with pytest.warns(RuntimeWarning, match="unlucky"):
        study = StabilityStudy(
            Guesser(), {"fine": {}, "broken": {"fails_on": range(4)}}, seeds={"init": 3, "order": 3}, random_state=0
        ).fit(X, y)
    found = study.variance_components().set_index("variant")
    # On one draw a pair of factors is what single runs are.
    assert found.loc["fine", "variance"].notna().sum() == 3
    assert found.loc["broken", "variance"].isna().all()


def test_study_without_a_crossed_design__says_what_it_needs():
    X, y = labelled_texts(40)
    study = StabilityStudy(Guesser(), seeds=3, baselines=(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="need a crossed design"):
        study.variance_components()


def test_study__says_how_much_of_the_draw_is_only_a_small_test_set():
    class Knowing(Guesser):
        """Right on three texts of five, whatever it is trained on."""

        def predict(self, X):
            number, label = zip(*((int(text.split()[1]), text.split()[-1]) for text in X), strict=True)
            wrong = {"yes": "no", "no": "yes"}
            return np.array([each if i % 5 < 3 else wrong[each] for i, each in zip(number, label, strict=True)])

    X, y = labelled_texts(120)
    study = StabilityStudy(Knowing(), seeds={"init": 2, "order": 2, "draw": 30}, baselines=(), random_state=0).fit(X, y)
    found = study.variance_components().set_index("source")
    p = study.results_["accuracy"].mean()
    expected = p * (1 - p) / 30 * (1 - 30 / 120) / found.loc["draw", "variance"]
    assert found.loc["draw", "test_sampling"] == pytest.approx(min(expected, 1))
    assert 0.5 < expected < 2
    assert found["test_sampling"].notna().sum() == 1
    assert study.variance_components("f1_macro")["test_sampling"].isna().all()


def test_study__puts_components_in_words_and_what_restarts_gain():
    X, y = labelled_texts(80)

    def validation(fitted, X, y):
        return float(fitted.init_seed % 7)

    study = StabilityStudy(
        Guesser(), seeds={"init": 4, "order": 3}, scoring={"accuracy": "accuracy", "validation": validation},
        baselines=(), random_state=0,
    ).fit(X, y)  # fmt: skip
    values = study.results_["accuracy"].to_numpy()
    (text,) = study.variance_conclusions()
    assert text.startswith("Guesser with 60 training texts: of the variance of accuracy, ")
    assert "One draw cannot separate effects of initialisation and order" in text
    best = np.mean([max(five) for five in itertools.combinations(values, 5)]) - values.mean()
    assert f"The best of 5 restarts is {100 * best:.1f} points of accuracy above their mean, in hindsight" in text
    assert text.endswith("a choice by validation data gains less, often nothing.")
    (chosen,) = study.variance_conclusions(by="validation")
    assert "chosen by validation, they gain " in chosen
