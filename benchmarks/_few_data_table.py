"""The table of `few_data`: mean, spread, worst and failed runs, and differences to a reference on the same draws."""

import numpy as np

# The usual metric of each set; accuracy for the others.
METRICS = {"cola": "mcc", "tweet_emotion": "f1_macro"}


def markdown(runs, reference):
    """One Markdown table a combination of model, kind of device, evaluation rows and epoch limit among `runs`."""
    settings = sorted({_settings(run) for run in runs}, key=str)
    tables = []
    for chosen in settings:
        model, device, test_rows, max_epochs = chosen
        limit = "" if max_epochs is None else f", at most {max_epochs} epochs"
        tables.append(f"{model} on {device}, at most {test_rows} evaluation rows{limit}\n")
        tables.append(_table([run for run in runs if _settings(run) == chosen], reference))
    return "\n".join(tables) if tables else "no runs yet"


def _settings(run):
    return run["model"], run["device"], run["test_rows"], run["max_epochs"]


def _table(runs, reference):
    # A recipe may have changed since its first runs; then only those of its present parameters count.
    latest = {run["method"]: run["parameters"] for run in runs}
    runs = [run for run in runs if run["parameters"] == latest[run["method"]]]
    lines = [
        "| set (metric) | per class | method | mean | std | worst | failed "
        f"| less {reference} by draw: mean ± std (draws) |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    cells = {}
    for run in runs:
        cells.setdefault((run["set"], run["size"]), {}).setdefault(run["method"], []).append(run)
    # Sets in the order in which they were first run, sizes ascending.
    order = {name: place for place, name in enumerate(dict.fromkeys(run["set"] for run in runs))}
    for (name, size), methods in sorted(cells.items(), key=lambda cell: (order[cell[0][0]], cell[0][1])):
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
    """Mean and standard deviation over draws of the difference to `reference`, seeds of a draw averaged first."""
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
