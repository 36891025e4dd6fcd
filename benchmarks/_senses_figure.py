"""The figure of the report: which layers of an encoder tell the senses of a word, beside Word2Sense.

python -m benchmarks._senses_figure RESULTS FIGURE
"""

import csv
import re
import sys
from pathlib import Path

from matplotlib.figure import Figure

_SIZE = "8"
_CLUSTERED = ("Word2Sense, 7 clusters", "Word2Sense, 7 clusters, permuted")
_COLOURS = {"MiniLM": "#0072B2", "Word2Sense": "#D55E00", "null": "#595959"}


def read(folder, name):
    """Rows of a table of scores for the larger corpus, as dicts by (task, measure, candidate)."""
    with open(folder / name, newline="", encoding="utf-8") as file:
        return {(r["task"], r["measure"], r["candidate"]): r for r in csv.DictReader(file) if r["megabytes"] == _SIZE}


def layers_of(scores, task, measure, suffix=""):
    """Layers, values, and distances to the ends of the intervals."""
    found = []
    for (each, kind, candidate), row in scores.items():
        layer = re.fullmatch(rf"MiniLM, layer (\d+){suffix}", candidate)
        if (each, kind) == (task, measure) and layer:
            value, low, high = (float(row[name]) for name in ("value", "low", "high"))
            found.append((int(layer[1]), value, value - low, high - value))
    layers, values, below, above = zip(*sorted(found), strict=True)
    return layers, values, (below, above)


def draw(states, words):
    """A panel for contextual similarity, and one for each measure of induction."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    task = "SemEval-2013 task 13"
    panels = [
        ("SCWS", "Spearman", "", ["Word2Sense, no context", "in context, strength 1", "PPMI + SVD 200"], "SCWS"),
        (
            task,
            "fuzzy NMI",
            ", 7 clusters",
            ["one cluster per instance", *_CLUSTERED],
            "induction, 7 clusters",
        ),
        (task, "fuzzy B-cubed", ", 7 clusters", ["one sense", *_CLUSTERED], "induction, 7 clusters"),
    ]
    for ax, (each, measure, suffix, lines, title) in zip(figure.subplots(1, 3), panels, strict=True):
        layers, values, error = layers_of(states, each, measure, suffix)
        ax.errorbar(layers, values, error, color=_COLOURS["MiniLM"], marker="o", capsize=3, label="MiniLM, by layer")
        if suffix:
            by_chance = layers_of(states, each, measure, f"{suffix}, permuted")[1]
            ax.plot(layers, by_chance, color=_COLOURS["MiniLM"], linestyle="--", label="MiniLM, permuted")
        for line in lines:
            kind = "Word2Sense" if line.startswith(("Word2Sense", "in context")) else "null"
            value = float(words[each, measure, line]["value"])
            name = "Word2Sense, in context" if line.startswith("in context") else line.replace(", 7 clusters", "")
            style = "--" if line.endswith(("permuted", "strength 1")) else ":" if kind == "null" else "-"
            label = None if kind == "null" else name
            ax.axhline(value, color=_COLOURS[kind], linestyle=style, linewidth=1.4, label=label)
            if kind == "null":
                ax.annotate(name, (layers[-1], value), va="bottom", ha="right", fontsize=8, color=_COLOURS[kind])
        ax.set(xlabel="layer (0 is the embeddings)", ylabel=measure, xticks=layers)
        ax.set_title(title, fontsize=10)
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    named = {}
    for ax in figure.axes:
        named |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(named.values(), named, loc="outside lower left", ncols=len(named), frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    results, path = map(Path, sys.argv[1:])
    draw(read(results, "senses_bert.csv"), read(results, "senses.csv")).savefig(path, dpi=110)
