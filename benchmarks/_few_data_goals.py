"""Tables of `few_data` that compare a method with its rivals: differences with intervals, spreads and costs."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks._few_data_table import by_settings, cells
from benchmarks._runs import unpack

N_RESAMPLES = 4000
LEVEL = 0.95


def comparison(runs, method, rivals, sets):
    """Markdown tables of `method` against each of `rivals`, and with several rivals against the better one.

    The better rival is chosen for each dataset and size by its mean over draws, and kept in all resamples. The better
    of two means is a little lucky, so this is in favour of the rivals. Datasets that are not among `sets` have rows of
    their own, but no part in the means.
    """
    tables = []
    sides = [[rival] for rival in rivals] + ([rivals] if len(rivals) > 1 else [])
    for heading, current in by_settings([run for run in runs if "right" in run]):
        for side in sides:
            table = _table(current, method, side, sets)
            if table:
                tables += [heading, table]
    return "\n".join(tables) if tables else f"no runs yet in which {method} and {' and '.join(rivals)} can be compared"


@dataclass(frozen=True)
class Side:
    """The runs of one method on one dataset at one size; the seeds of a draw are averaged.

    right : array of shape (n_draws, n_rows)
        Share of the seeds with which a row was right.
    cpu_seconds : float
        Mean over draws of the seconds of a fit.
    """

    method: str
    right: np.ndarray
    cpu_seconds: float

    @property
    def scores(self):
        return self.right.mean(axis=1)

    @property
    def std(self):
        return self.scores.std(ddof=1) if len(self.scores) > 1 else np.nan


def _table(runs, method, rivals, sets):
    """The table for one method and the better of `rivals`, or "" if they have no draws in common."""
    pairs, left_out = {}, []
    for (name, size), done in cells(runs).items():
        pair = _pair(done, method, rivals)
        if pair is None:
            left_out.append(f"{name} at {size}")
        else:
            pairs[name, size] = pair
    if not pairs:
        return ""
    rival = rivals[0] if len(rivals) == 1 else "the better of " + " and ".join(rivals)
    lines = [
        f"{method} against {rival}: accuracy in %, differences with {LEVEL:.0%} intervals over draws and test rows\n",
        "| set | per class | rival | accuracy of both | difference | draws won "
        "| worst draw of both | std over draws of both | CPU seconds per fit of both | ratio |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    notes = []
    for size in sorted({size for _, size in pairs}):
        at_size = {name: pair for (name, other), pair in pairs.items() if other == size}
        lines += _rows(at_size, size, sets)
        gains = {name: _gain(*pair) for name, pair in at_size.items() if name in sets}
        if len(gains) > 1:
            lowest = min(gains, key=gains.get)
            notes.append(f"\nLowest of {len(gains)} differences at {size} per class: {gains[lowest]:+.1f}, {lowest}.")
    if left_out:
        notes.append(f"\nLeft out, because runs are missing: {', '.join(left_out)}.")
    return "\n".join(lines + notes) + "\n"


def _pair(done, method, rivals):
    """Both sides on the draws that all methods have, or None."""
    by_method = {name: _by_draw(done.get(name, [])) for name in [method, *rivals]}
    draws = sorted(set.intersection(*(set(found) for found in by_method.values())))
    if not draws:
        return None
    ours, *others = (_side(name, [found[draw] for draw in draws]) for name, found in by_method.items())
    return ours, max(others, key=lambda side: side.right.mean())


def _by_draw(runs):
    found = {}
    for run in runs:
        found.setdefault(run["draw"], []).append(run)
    return found


def _side(method, runs_of_draws):
    right = [np.mean([unpack(run["right"], run["n_rows"]) for run in runs], axis=0) for runs in runs_of_draws]
    seconds = [np.mean([run["cpu_seconds"] for run in runs]) for runs in runs_of_draws]
    return Side(method, np.array(right), float(np.mean(seconds)))


def _gain(ours, theirs):
    return 100 * (ours.right.mean() - theirs.right.mean())


def _rows(pairs, size, sets):
    """The rows of all datasets at one size, and the mean over `sets`."""
    resamples = {name: _resample(ours.right - theirs.right, name) for name, (ours, theirs) in pairs.items()}
    lines = [_row(name, size, pair[1].method, [pair], resamples[name]) for name, pair in pairs.items()]
    of_mean = [name for name in pairs if name in sets]
    if len(of_mean) > 1:
        chosen = [pairs[name] for name in of_mean]
        rivals = ", ".join(dict.fromkeys(theirs.method for _, theirs in chosen))
        mean = np.mean([resamples[name] for name in of_mean], axis=0)
        lines.append(_row(f"mean of {len(of_mean)} sets", size, rivals, chosen, mean))
    return lines


def _row(name, size, rival, pairs, resamples):
    """One row: means over datasets, but sums of their seconds and of their draws."""
    both = list(zip(*pairs, strict=True))
    means = [np.mean([side.right.mean() for side in sides]) for sides in both]
    worst = [np.mean([side.scores.min() for side in sides]) for sides in both]
    stds = [np.mean([side.std for side in sides]) for sides in both]
    seconds = [sum(side.cpu_seconds for side in sides) for sides in both]
    low, high = 100 * np.quantile(resamples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Means of the same shares may differ in their last bits, which is no win.
    won = sum(int(np.sum(ours.scores > theirs.scores + 1e-9)) for ours, theirs in pairs)
    columns = [
        name,
        str(size),
        rival,
        _both(100 * np.array(means)),
        f"{np.mean([_gain(*pair) for pair in pairs]):+.1f} ({low:+.1f} to {high:+.1f})",
        f"{won} of {sum(len(ours.right) for ours, _ in pairs)}",
        _both(100 * np.array(worst)),
        _both(100 * np.array(stds)),
        _both(seconds),
        f"{seconds[0] / seconds[1]:.2f}" if seconds[1] else "-",
    ]
    return "| " + " | ".join(columns) + " |"


def _both(values):
    return " / ".join("-" if np.isnan(value) else f"{value:.1f}" for value in values)


def _resample(differences, name):
    """Mean differences of bootstrap samples of the draws and, independently, of the test rows.

    Both are needed: all draws are scored on the same rows, so draws alone do not show what other rows would say.
    """
    n_draws, n_rows = differences.shape
    draw_shares, row_shares = _shares(name, "draws", n_draws), _shares(name, "rows", n_rows)
    return np.einsum("ij,ij->i", draw_shares @ differences, row_shares)


@lru_cache(maxsize=64)
def _shares(name, kind, n):
    """Shares of `n` draws or rows in each bootstrap sample, shape (N_RESAMPLES, n): always the same for a dataset.

    So tables do not differ by chance, and datasets are resampled independently of each other.
    """
    rng = np.random.default_rng(list(f"{kind} of {name}".encode()))
    return rng.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES) / n
