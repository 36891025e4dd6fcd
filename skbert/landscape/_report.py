"""The report of a landscape: one HTML page with sentences, pictures and tables."""

from __future__ import annotations

from pathlib import Path

from skbert.pages import figure_uri, render_page
from skbert.plots import LossLandscapeDisplay

_FIGURES = (
    ("line", "The way from start to end", "Loss with 95 % bands over texts, and error, on the straight line."),
    ("surface", "The plane of two directions", "Mean loss at each point, on one scale, and the way of the training."),
    ("groups", "Groups of layers", "Only one group moves from its start to its end; all else is at its end."),
    ("rollback", "Rollback by label", "One group is set back to its start; all else is at its end."),
    ("density", "Spectrum of the curvature", "How many eigenvalues are how large, at the end."),
)


def write_report(landscape, path, title):
    """Write the page of a fitted `LossLandscape`; see there."""
    path = Path(path)
    path.write_text(render(landscape, title), encoding="utf-8")
    return path


def render(landscape, title):
    """The page as text."""
    display = LossLandscapeDisplay(landscape)
    figures = [
        (name, text, figure_uri(display.plot(kind=kind).figure_))
        for kind, name, text in _FIGURES
        if _is_there(landscape, kind)
    ]
    return render_page(
        __package__,
        "report.html.jinja",
        title,
        answers=landscape.conclusions(),
        design=_design(landscape),
        figures=figures,
        unit="nats" if hasattr(landscape, "classes_") else "variances of y",
        line=_line(landscape),
        held_out=landscape.line_.val_loss is not None,
        epochs=_epochs(landscape),
        rollback=_rollback(landscape),
        classes=[str(label) for label in getattr(landscape, "classes_", [])],
        curvature=getattr(landscape, "curvature_", None),
        estimator=" ".join(repr(landscape.estimator_).split()),
    )


def _is_there(landscape, kind):
    if kind == "density":
        found = getattr(landscape, "curvature_", None)
        return found is not None and found.density_nodes is not None
    needed = {"surface": "surface_", "groups": "group_lines_", "rollback": "rollback_"}
    return kind not in needed or getattr(landscape, needed[kind]) is not None


def _design(landscape):
    seconds = {
        "seed": "to the end of a second fit with another order of texts and another dropout",
        "data": "to the end of a second fit on other texts",
        "random": "random, each row of a matrix as long as in the fine-tuned model",
        None: "none",
    }
    n_val = "none" if landscape.val_rows_ is None else len(landscape.val_rows_)
    return {
        "Training texts": f"{len(landscape.train_rows_)}, the same at every point",
        "Held-out texts": n_val,
        "First direction": f"from start to end, length {landscape.start_.distance_to(landscape.end_):.3g}",
        "Second direction": seconds[landscape.second],
        "Points": f"{len(landscape.alphas_)} from {landscape.alphas_[0]:g} to {landscape.alphas_[-1]:g}",
    }


def _line(landscape):
    """Rows of the table of the line."""
    line = landscape.line_
    keys = [key for key in ("train_loss", "train_low", "train_high", "train_error") if line[key] is not None]
    keys += [key.replace("train", "val") for key in keys if line.val_loss is not None]
    return [
        {"alpha": float(alpha), **{key: float(line[key][place]) for key in keys}}
        for place, alpha in enumerate(landscape.alphas_)
    ]


def _epochs(landscape):
    """Rows of the table of the trajectory."""
    rows = zip(
        landscape.trajectory_phases_,
        landscape.trajectory_.tolist(),
        landscape.trajectory_distance_.tolist(),
        landscape.trajectory_losses_.tolist(),
        strict=True,
    )
    return [
        {"phase": phase, "alpha": alpha, "beta": beta, "distance": distance, "loss": loss}
        for phase, (alpha, beta), distance, loss in rows
    ]


def _rollback(landscape):
    """Rows of the table of rollback: a name, loss, error and recalls."""
    rolled = landscape.rollback_
    if rolled is None:
        return []
    part = "train" if rolled.val_loss is None else "val"

    def of_all(kind):
        """The value of the whole model, then those of the groups."""
        return [rolled[f"whole_{part}_{kind}"], *rolled[f"{part}_{kind}"]]

    names = ["nothing", *rolled.names]
    without = rolled[f"{part}_recall"] is None
    recalls = [[] for _ in names] if without else [recall.tolist() for recall in of_all("recall")]
    return [
        {"name": name, "loss": float(loss), "error": float(error), "recall": recall}
        for name, loss, error, recall in zip(names, of_all("loss"), of_all("error"), recalls, strict=True)
    ]
