"""Are the statistical claims of skbert true? Its own calibration, as a table with Monte-Carlo errors.

python -m benchmarks.claims                     # under half an hour on two cores
python -m benchmarks.claims --data DIR          # real texts besides: DIR has one folder per set, as trec6/train.tsv
python -m benchmarks.claims --only recalls best --quick
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import _claims_correlations as correlations
from benchmarks import _claims_fine_tuned as fine_tuned
from benchmarks import _claims_intervals as intervals
from benchmarks import _claims_probe as probe
from benchmarks import _claims_victories as victories
from benchmarks._claims_table import Claim, save, share
from benchmarks._options import quiet
from benchmarks._sets import load_set

_SETS = ("trec6", "sst2", "mr")


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, help=f"folder of text sets; of them {', '.join(_SETS)} are taken")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the table")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), help="parts of the table")
    parser.add_argument("--pools", type=int, default=10, help="pools on which MiniLM is fine-tuned")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 takes all cores")
    parser.add_argument("--effort", type=float, default=1.0, help="share of the repetitions; errors grow with less")
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it run? Quote no figure")
    options = parser.parse_args(arguments)
    if options.quick:
        options.effort, options.pools = 0.05, min(options.pools, 2)
    return options


def _times(options, n):
    return max(4, round(options.effort * n))


def _populations(options):
    """Populations in which no variant is better in truth: the simulated one, and those of real texts."""
    yield victories.alike(), True
    for name in _SETS:
        if options.data is not None and (options.data / name).is_dir():
            found = load_set(options.data, name)
            yield victories.of_texts(name, found.pool_texts, found.pool_labels), False


def lines_victories(options):
    """ "A beats B" where neither is better, of one pair and of any of six variants."""
    part, n_pools = "A beats B, where neither is better on texts of the kind", _times(options, 300)
    for population, known in _populations(options):
        for n_texts, train_share, words in ((100, 1.0, "full"), (100, 1 / 3, "third"), (200, 1.0, "full")):
            scores = victories.studies(population, n_texts, train_share, n_pools, options.jobs)
            truth = np.zeros(victories.N_VARIANTS) if known else None
            for n in victories.N_RUNS:
                found = victories.judged(scores, n, options.jobs, truth)
                setting = f"{population.name}, {n_texts} texts, {words}, n = {n}"
                usual, (ours, error) = share(found["said"][:, 0])[0], share(found["said"][:, 1])
                yield Claim(part, "said of one pair", setting, usual, ours, error, most=0.06)
                usual, (ours, error) = share(found["any"][:, 0])[0], share(found["any"][:, 1])
                yield Claim(part, "said of any of six variants, adjusted", setting, usual, ours, error, most=0.06)
                usual, (ours, error) = share(found["held"][:, 0])[0], share(found["held"][:, 1])
                least, most = (0.93, 0.98) if words == "full" else (0.93, None)
                yield Claim(part, "interval for new texts holds the truth", setting, usual, ours, error, least, most)


def lines_power(options):
    """What is said where one variant is better in truth: how often at all, and how often of the wrong one."""
    part, n_pools = "A beats B, where one is better on texts of the kind", _times(options, 300)
    for n_texts in (100, 200):
        scores = victories.studies(victories.graded(), n_texts, 1.0, n_pools, options.jobs)
        truth = scores.mean(axis=(0, 2))
        for n in victories.N_RUNS:
            found = victories.judged(scores, n, options.jobs, truth)
            setting = f"{n_texts} texts, full, n = {n}, all pairs"
            usual, (ours, error) = share(found["wrong"][:, 0])[0], share(found["wrong"][:, 1])
            yield Claim(part, "said of the wrong one", setting, usual, ours, error, most=0.01)
            size = np.abs(found["true"][0])
            near = (size > 0.035) & (size < 0.065)
            setting = f"{n_texts} texts, full, n = {n}, true difference {100 * size[near].mean():.1f} points"
            right = found["said"] & ~found["wrong"]
            usual, (ours, error) = share(right[:, 0][:, near])[0], share(right[:, 1][:, near])
            yield Claim(part, "said of the better one (power)", setting, usual, ours, error)


def lines_same(options):
    """Two names for one algorithm with new seeds in every run: these texts are all alike, too."""
    part, n_pools = "Sign flips on these texts, where neither is better on them", _times(options, 4000)
    rng = np.random.default_rng(8)
    for n in (6, *victories.N_RUNS):
        scores = rng.normal(0.7, 0.05, (n_pools, 2, n))
        found = victories.judged(scores, n, options.jobs, np.zeros(2))
        ours, error = share(found["said"][:, 0])
        yield Claim(part, "p < 0.05", f"n = {n}", ours, ours, error, most=0.06)


def lines_intervals(options):
    """Coverage of the mean over very many runs on these texts, and over the levels of a crossed design."""
    part, repeats = "95 % intervals of a mean on these texts", _times(options, 2000)
    for name, scores, truth in (
        ("normal scores", intervals.normal_scores, 0.7),
        ("bimodal scores", intervals.bimodal_scores, 0.8),
    ):
        for n in intervals.N_RUNS:
            usual, ours = intervals.coverage_of_means(scores, truth, n, repeats)
            bounds = (0.93, 0.98) if name.startswith("normal") else (None, None)
            yield Claim(part, "holds the mean", f"{name}, n = {n}", usual, ours, _error(ours, repeats), *bounds)
    part, repeats = "95 % intervals of a crossed design", _times(options, 600)
    for name, stds in intervals.COMPONENTS.items():
        for shape in ((3, 5, 5), (5, 5, 5), (10, 5, 5)):
            usual, ours = intervals.coverage_of_crossed(shape, stds, repeats)
            setting = f"{name}; {'x'.join(map(str, shape))}"
            yield Claim(part, "holds the mean", setting, usual, ours, _error(ours, repeats), 0.93)


def lines_planning(options):
    """Power of the sign-flip test with as many pairs as `seeds_needed` says, from a pilot."""
    part, repeats = "seeds_needed for these texts: power 0.8 is promised", _times(options, 400)
    for n_pilot in (5, 8, 20):
        for effect in (0.5, 1.0):
            usual, ours = intervals.power_at_promise(n_pilot, effect, repeats)
            setting = f"pilot of {n_pilot}, true difference {effect:g} sd"
            error = ours.std() / np.sqrt(repeats)
            yield Claim(part, "mean power", setting, usual.mean(), ours.mean(), error, least=0.8)
            kept = (ours > 0.75).mean()
            yield Claim(part, "power above 0.75", setting, (usual > 0.75).mean(), kept, _error(kept, repeats), 0.75)


def lines_pattern(options):
    """How often the pattern test says that falls differ by label."""
    repeats = _times(options, 400)
    part = "Pattern test of skipped layers: p <= 0.05"
    shrink, spread = probe.falls_by_shrinking, probe.falls_that_differ_in_spread
    cases = [
        ("null: two equal labels", lambda n, rng: shrink((3, 3), (0.5, 0.5), n, rng), 0.08),
        ("null: labels of 90 and 10 %", lambda n, rng: shrink((3, 3), (0.9, 0.1), n, rng), 0.08),
        ("null: six labels", lambda n, rng: shrink((3,) * 6, (1 / 6,) * 6, n, rng), 0.08),
        ("spread only: label of 10 % has 3 times", lambda n, rng: spread(0.1, 3.0, n, rng), 0.08),
        ("spread only: label of 10 % has 1.5 times", lambda n, rng: spread(0.1, 1.5, n, rng), 0.08),
        ("spread only: label of 90 % has 3 times", lambda n, rng: spread(0.9, 3.0, n, rng), 0.08),
        ("a true pattern of 0.3 sd", lambda n, rng: probe.falls_with_a_pattern(0.3, n, rng), None),
        ("one of two labels is harder", lambda n, rng: shrink((4.5, 1.5), (0.5, 0.5), n, rng), None),
        ("one of six labels is harder", lambda n, rng: shrink((2,) + (4.5,) * 5, (1 / 6,) * 6, n, rng), None),
    ]
    for name, make, most in cases:
        for n in (60, 200):
            (usual, ours), recalls = probe.rejections(lambda rng, n=n, make=make: make(n, rng), repeats)
            known = "" if recalls is None else f" (recall {recalls.min():.2f} to {recalls.max():.2f})"
            yield Claim(part, name + known, f"n = {n}", usual, ours, _error(ours, repeats), most=most)


def lines_recalls(options):
    """Coverage of the change of recall."""
    part = "95 % intervals of a change of recall"
    for before, after in probe.RECALLS:
        for n in probe.SAMPLES:
            usual, ours = probe.coverage_of_recalls(n, before, after, _times(options, 1000))
            setting = f"{before:.2f} to {after:.2f}, label with {n} texts"
            yield Claim(part, "holds the change", setting, usual, ours, 0.0, least=0.88)


def lines_best(options):
    """Bias of the expected best of n."""
    part, repeats = "Expected best of n from 10 runs: bias", _times(options, 4000)
    for name, scores in (("normal", intervals.normal_scores), ("bimodal", intervals.bimodal_scores)):
        for n, failed in ((2, 0.0), (5, 0.0), (10, 0.0), (2, 0.5), (5, 0.5)):
            left_out, dodge, unbiased = intervals.bias_of_best(scores, 10, n, failed, repeats)
            setting = f"{name} scores, best of {n}, {failed:.0%} failed"
            for what, found in (("dodge", dodge), ("unbiased", unbiased)):
                error = found.std() / np.sqrt(len(found))
                yield Claim(part, f"method {what!r}", setting, left_out.mean(), found.mean(), error)


def lines_components(options):
    """Bias of variance components with two-way terms, and coverage of their intervals."""
    part, repeats = "Variance components with two-way terms", _times(options, 200)
    for shape in ((3, 5, 5), (5, 5, 5)):
        truth, found, held = intervals.components(shape, (1.0, 0.7, 0.5, 0.5), repeats)
        for place, (name, true) in enumerate(truth.items()):
            setting, error = f"{'x'.join(map(str, shape))}, {name}", found[:, place].std() / np.sqrt(repeats) / true
            yield Claim(part, "mean estimate over truth", setting, None, found[:, place].mean() / true, error)
            kept = held[:, place].mean()
            yield Claim(part, "95 % interval holds the truth", setting, None, kept, _error(kept, repeats), 0.93)


def lines_correlations(options):
    """Rank correlation within variants: its test where there is none, and its interval."""
    part, repeats = "Correlation within variants, where there is none: p <= 0.05", _times(options, 1000)
    for n_draws, n_variants, shared in correlations.STUDIES:
        usual, ours, said = correlations.rejections(n_draws, n_variants, shared, repeats)
        setting = f"{n_draws} draws, variants: {n_variants}, shared: {shared:.0%}"
        yield Claim(part, "test", setting, usual, ours, _error(ours, repeats), most=0.06)
        yield Claim(part, "said to go together", setting, usual, said, _error(said, repeats), most=0.06)
    part = "95 % intervals of a correlation within variants"
    for n_draws, n_variants, shared in correlations.STUDIES:
        for rho in (0.0, 0.5, 0.9):
            usual, ours = correlations.coverage(n_draws, n_variants, shared, rho, repeats)
            setting = f"{n_draws} draws, variants: {n_variants}, shared: {shared:.0%}, correlation {rho:g}"
            yield Claim(part, "holds the truth", setting, usual, ours, _error(ours, repeats), least=0.93)


def lines_fine_tuned(options):
    """The same question with MiniLM fine-tuned in every run."""
    part = f"MiniLM fine-tuned on pools of {fine_tuned.N_TEXTS} texts, n = {fine_tuned.N_RUNS}"
    name, found = fine_tuned.run(options.data, options.output, options.pools, options.jobs)
    setting, d = f"{name}, {len(found)} pools, the same algorithm with other seeds", np.array(found)
    judged = victories.judged(np.stack([d, 0 * d], axis=1), fine_tuned.N_RUNS, options.jobs, np.zeros(2))
    usual, (ours, error) = share(judged["said"][:, 0])[0], share(judged["said"][:, 1])
    yield Claim(part, "said of one pair", setting, usual, ours, error, most=0.06)
    usual, (ours, error) = share(judged["held"][:, 0])[0], share(judged["held"][:, 1])
    yield Claim(part, "interval for new texts holds the truth", setting, usual, ours, error, least=0.93)
    ratios = _leave_one_out(d)
    error = float(np.sqrt((len(d) - 1) * ratios.var()))
    yield Claim(part, "variance between pools over that within", setting, None, _between_over_within(d), error)


def _between_over_within(d):
    """Variance of the pools' true mean differences over that of single differences; (n_pools, n_runs)."""
    within = d.var(axis=1, ddof=1).mean()
    return float((d.mean(axis=1).var(ddof=1) - within / d.shape[1]) / within)


def _leave_one_out(d):
    """The same without each pool in turn."""
    return np.array([_between_over_within(np.delete(d, place, axis=0)) for place in range(len(d))])


def _error(rate, repeats):
    return float(np.sqrt(rate * (1 - rate) / repeats))


_PARTS = {
    "recalls": lines_recalls,
    "intervals": lines_intervals,
    "planning": lines_planning,
    "best": lines_best,
    "components": lines_components,
    "correlations": lines_correlations,
    "pattern": lines_pattern,
    "same": lines_same,
    "victories": lines_victories,
    "power": lines_power,
    "fine_tuned": lines_fine_tuned,
}


def main():
    options = parse()
    quiet()
    warnings.simplefilter("ignore")
    claims, note = [], "A quick run: quote no figure of it.\n\n" if options.quick else ""
    for name in options.only:
        # The matrices are small: products of one on several threads take many times as long.
        with threadpool_limits(1):
            for claim in _PARTS[name](options):
                print(" | ".join(claim.cells()), flush=True)
                claims.append(claim)
        # After each part, so that a failure costs only what follows.
        save(claims, options.output, note)
    print(f"saved in {options.output}/")


if __name__ == "__main__":
    main()
