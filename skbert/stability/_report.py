"""The report of a study: one HTML page that holds everything and fetches nothing."""

from __future__ import annotations

from pathlib import Path

from skbert.pages import figure_uri, render_page
from skbert.plots import StabilityDisplay
from skbert.stability._design import without_addresses

# Failed runs that are listed one by one; the rest is counted.
_MOST_FAILED = 50


def write_report(study, path, title):
    """Write the page of a fitted `StabilityStudy`; see there."""
    page = render(study, title)
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def render(study, title):
    """The page as text; ValueError where there is no run to speak of."""
    if not len(study.results_):
        raise ValueError("No run has finished yet, so there is nothing to report.")
    return render_page(
        __package__,
        "report.html.jinja",
        title,
        planned=study.n_planned_,
        answers=study.conclusions(),
        design=_design(study),
        figures=_figures(study),
        scores=[(score, study.summary(score).to_dict("records")) for score in study.scores_],
        comparisons=[
            (size, study.comparisons(size=size).to_dict("records"))
            for size in study.train_sizes_
            if len(study.variants_) > 1
        ],
        components=_components(study, study.variance_components, lambda table: table.to_dict("records")),
        components_in_words=_components(study, study.variance_conclusions, list),
        n_texts=study.facts_["data"]["rows"],
        failed=_failed(study),
        most_failed=_MOST_FAILED,
        baselines=study.baselines_,
        crossed=study.crossed_,
        variants={name: without_addresses(" ".join(repr(model).split())) for name, model in study.variants_.items()},
        facts=study.facts_,
        runs=study.results_.to_dict("records"),
        columns=[*study.scores_, *study.train_scores_],
        score=study.scores_[0],
    )


def _design(study):
    data = study.facts_["data"]
    runs, sizes = study.results_, ", ".join(map(str, study.train_sizes_))
    tested = sorted({len(split.test) for split in study.splits_})
    # Copies of a text stay together, so that the number asked for is not always met.
    n_test = f"{tested[0]}" if len(tested) == 1 else f"{tested[0]} to {tested[-1]}"
    return {
        "Texts": f"{data['rows']}, {data['distinct rows']} of them distinct",
        "Labels": ", ".join(f"{label} ({count})" for label, count in data["labels"]) or "numbers",
        "Variants": ", ".join(name for name in study.variants_ if name not in study.baselines_),
        "Null models": ", ".join(study.baselines_) or "none",
        "Training texts": sizes,
        "Groups": "given; each stays on one side" if "groups" in data else "none but copies of a text",
        "Test texts": f"{n_test}, drawn again for each of {len(study.splits_)} draws",
        "Seeds": _seeds(study),
        "Scores": ", ".join(study.scores_),
        **({"Training scores": ", ".join(study.train_scores_)} if study.train_scores_ else {}),
        "Runs": f"{len(runs)} of {study.n_planned_}, {runs['seconds'].sum() / 60:.1f} minutes of one core",
    }


def _seeds(study):
    if isinstance(study.seeds, dict):
        levels = ", ".join(f"{count} of {name}" for name, count in study.seeds.items())
        return f"crossed: {levels}"
    return f"{study.seeds}, each with a draw of its own"


def _components(study, ask, as_list):
    if not study.crossed_:
        return []
    try:
        return as_list(ask())
    except ValueError:  # too small a design: there is nothing to tell
        return []


def _failed(study):
    failed = study.results_[study.results_["status"] != "ok"]
    failed = failed.assign(reason=failed["reason"].map(without_addresses))
    return failed.to_dict("records")


def _figures(study):
    """Names of the figures, what they show, and their SVG as data URIs."""
    display = StabilityDisplay.from_estimator(study)
    score, runs = study.scores_[0], display.figure_
    figures = []
    if len(study.train_sizes_) > 1:
        curves = display.plot_learning_curve().figure_
        figures.append(("Learning curves", f"Mean {score} by number of training texts.", curves))
    figures.append(("Runs", f"Every run at the largest training size: {score} by variant.", runs))
    if len(study.variants_) > 1:
        text = f"{score} of each variant less that of the first, on the same draws and seeds."
        figures.append(("Paired differences", text, display.plot_differences().figure_))
    best = display.plot_expected_max().figure_
    figures.append(("Best of n", f"Expected best {score} of n runs, chosen in hindsight.", best))
    return [(name, text, figure_uri(figure)) for name, text, figure in figures]
