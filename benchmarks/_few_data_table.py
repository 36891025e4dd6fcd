"""Tables of `few_data`: all methods side by side, the effect of one change, and every figure with its spread."""

import numpy as np

# The usual metric of each dataset; accuracy for the others.
METRICS = {"cola": "mcc", "tweet_emotion": "f1_macro"}


def markdown(runs, reference):
    """One Markdown table per combination of settings in `runs`."""
    tables = []
    for heading, current in by_settings(runs):
        tables += [heading, _overview(current), _contrasts(current), _table(current, reference)]
    return "\n".join(tables) if tables else "no runs yet"


def by_settings(runs):
    """Runs that may be compared: a heading and the runs for each model, device, test rows, epoch limit and threads."""
    for chosen in sorted({_settings(run) for run in runs}, key=str):
        model, device, test_rows, max_epochs, threads = chosen
        limit = "" if max_epochs is None else f", at most {max_epochs} epochs"
        limit += "" if threads is None else f", {threads} thread{'s' if threads > 1 else ''}"
        # If a recipe has changed since its first runs, only runs with its present parameters are used.
        latest = {run["method"]: run["parameters"] for run in runs if _settings(run) == chosen}
        current = [run for run in runs if _settings(run) == chosen and run["parameters"] == latest[run["method"]]]
        yield f"{model} on {device}, at most {test_rows} evaluation rows{limit}\n", current


def _settings(run):
    # Runs of earlier versions do not say their number of threads.
    return run["model"], run["device"], run["test_rows"], run["max_epochs"], run.get("threads")


def cells(runs):
    """Runs by dataset and size, in the order in which the datasets were first run, then by method."""
    found = {}
    for run in runs:
        found.setdefault((run["set"], run["size"]), {}).setdefault(run["method"], []).append(run)
    order = {name: place for place, name in enumerate(dict.fromkeys(run["set"] for run in runs))}
    return dict(sorted(found.items(), key=lambda cell: (order[cell[0][0]], cell[0][1])))


def _overview(runs):
    """One row per dataset and size, one column per method: mean ± standard deviation over runs, best mean in bold."""
    methods = list(dict.fromkeys(run["method"] for run in runs))
    lines = ["| set (metric) | per class | " + " | ".join(methods) + " |", "|---|---:|" + "---:|" * len(methods)]
    for (name, size), done in cells(runs).items():
        metric = METRICS.get(name, "accuracy")
        scores = {method: np.array([run[metric] for run in done[method]]) for method in methods if method in done}
        best = max(values.mean() for values in scores.values())
        row = [_cell(scores.get(method), best) for method in methods]
        lines.append(f"| {name} ({metric}) | {size} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _cell(scores, best):
    if scores is None:
        return ""
    text = f"{scores.mean():.3f}"
    text = f"**{text}**" if text == f"{best:.3f}" else text
    return f"{text} ± {scores.std(ddof=1):.3f}" if len(scores) > 1 else text


# Two methods that differ in one thing: the reading, or the recipe.
CONTRASTS = (
    ("maxpool:devlin2019", "cls:devlin2019"),
    ("maxpool:few_data", "cls:few_data"),
    ("maxpool:few_data", "maxpool:devlin2019"),
    ("maxpool:few_data", "features"),
    ("cls:few_data", "features"),
)


def _contrasts(runs):
    """The effect of one change, by dataset and by training size: one column per contrast."""
    there = {run["method"] for run in runs}
    contrasts = [pair for pair in CONTRASTS if set(pair) <= there]
    if not contrasts:
        return ""
    heads = [f"{first} minus {second}" for first, second in contrasts]
    by_set, by_size = (_differences(runs, contrasts, key) for key in (lambda cell: cell[0], lambda cell: cell[1]))
    return (
        _contrast_table("difference, by set", heads, by_set)
        + "\n"
        + _contrast_table("the same, by texts per class", heads, dict(sorted(by_size.items())))
    )


def _differences(runs, contrasts, key):
    """For each value of `key` of a cell (dataset, size) and each contrast: the mean difference of each draw.

    The training sets of a draw are nested over sizes, so a draw is one independent unit.
    """
    found = {}
    for cell, done in cells(runs).items():
        metric = METRICS.get(cell[0], "accuracy")
        row = found.setdefault(key(cell), [{} for _ in contrasts])
        for by_draw, (first, second) in zip(row, contrasts, strict=True):
            if first in done and second in done:
                ours, theirs = _by_draw(done[first], metric), _by_draw(done[second], metric)
                for draw in sorted(set(ours) & set(theirs)):
                    by_draw.setdefault(draw, []).append(ours[draw] - theirs[draw])
    return {
        name: [np.array([np.mean(values) for values in by_draw.values()]) for by_draw in row]
        for name, row in found.items()
    }


def _contrast_table(corner, heads, rows):
    lines = [f"| {corner} | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    lines += [f"| {name} | " + " | ".join(map(_gain, row)) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def _gain(differences):
    if not len(differences):
        return ""
    return f"{differences.mean():+.3f} ({(differences > 0).sum()} of {len(differences)} draws)"


def _table(runs, reference):
    lines = [
        "| set (metric) | per class | method | mean | std | worst | failed "
        f"| minus {reference} by draw: mean ± std (draws) |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for (name, size), methods in cells(runs).items():
        metric = METRICS.get(name, "accuracy")
        for method, done in methods.items():
            scores = np.array([run[metric] for run in done])
            failed = sum(run["status"] not in (None, "converged") for run in done)
            spread = f"{scores.std(ddof=1):.3f}" if len(scores) > 1 else "-"
            lines.append(
                f"| {name} ({metric}) | {size} | {method} | {scores.mean():.3f} | {spread} | {scores.min():.3f} | "
                f"{failed}/{len(done)} | {_difference(done, methods.get(reference), metric)} |"
            )
    return "\n".join(lines) + "\n"


def _difference(done, reference, metric):
    """Mean and standard deviation over draws of the difference to `reference`; seeds of a draw are averaged first."""
    if reference is None or reference is done:
        return "-"
    ours, theirs = _by_draw(done, metric), _by_draw(reference, metric)
    differences = np.array([ours[number] - theirs[number] for number in ours if number in theirs])
    if not len(differences):
        return "-"
    spread = f" ± {differences.std(ddof=1):.3f}" if len(differences) > 1 else ""
    return f"{differences.mean():+.3f}{spread} ({len(differences)})"


def _by_draw(runs, metric):
    scores = {}
    for run in runs:
        scores.setdefault(run["draw"], []).append(run[metric])
    return {number: np.mean(values) for number, values in scores.items()}
