"""Groups of layers: which weights belong to each, lines on which only one moves, and rollback."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from skbert.encoder import check_boundary, parameter_depths


def depth_groups(n_layers, n_groups):
    """The depths 0 … L divided into ranges with equal numbers of layers; depth 0, the embeddings, is in the lowest."""
    parts = np.array_split(np.arange(1, n_layers + 1), n_groups)
    starts = [0, *(int(part[0]) for part in parts[1:])]
    stops = [*starts[1:], n_layers + 1]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]


def name_of(group):
    """``embeddings, layers 1–2`` for ``range(0, 3)``."""
    first, last = max(1, group.start), group.stop - 1
    layers = f"layer {last}" if first == last else f"layers {first}–{last}"
    return f"embeddings, {layers}" if group.start == 0 else layers


def check_groups(runner, groups):
    """Refuse groups that would divide layers which share their weights."""
    for group in groups[1:]:
        check_boundary(runner, "n_groups", len(groups), group.start - 1)


def depths_by_name(module):
    """Depth of each parameter of `module`: 0 the embeddings, d layer d, L + 1 all above the layers."""
    depth_of, above = parameter_depths(module.runner), module.runner.n_layers + 1
    return {name: depth_of.get(id(parameter), above) for name, parameter in module.named_parameters()}


def group_bunch(groups, lines):
    """``group_lines_``: the losses of the lines of all groups."""
    found = Bunch(groups=groups, names=[name_of(group) for group in groups])
    for part in ("train", "val"):
        for kind in ("loss", "error"):
            values = [line[f"{part}_{kind}"] for line in lines]
            found[f"{part}_{kind}"] = None if values[0] is None else np.stack(values)
    return found


def rollback_bunch(groups, lines, line, at_start, at_end, codes, n_classes):
    """``rollback_``: each group at its start, all else at its end; and the whole model.

    Parameters
    ----------
    groups : list of range
        The groups.
    lines : list of Bunch
        The line of each group.
    line : Bunch
        The line of all weights, for the whole model.
    at_start, at_end : int
        Places of the start and of the end on a line.
    codes : list of arrays
        Class indices of the training texts and of the validation texts.
    n_classes : int or None
        Number of classes; None for numbers, which have no recall.
    """
    found = Bunch(groups=groups, names=[name_of(group) for group in groups])
    for part, own in zip(("train", "val"), codes, strict=True):
        for kind in ("loss", "error"):
            key = f"{part}_{kind}"
            found[key] = None if own is None else np.array([one[key][at_start] for one in lines])
            found[f"whole_{key}"] = None if own is None else float(line[key][at_end])
        known = own is not None and n_classes is not None
        errors = [one[f"{part}_errors"][at_start] for one in lines] if known else []
        found[f"{part}_recall"] = np.stack([recalls(e, own, n_classes) for e in errors]) if known else None
        found[f"whole_{part}_recall"] = recalls(line[f"{part}_errors"][at_end], own, n_classes) if known else None
    return found


def recalls(errors, codes, n_classes):
    """Recall of each class; NaN for a class without texts."""
    counts = np.bincount(codes, minlength=n_classes)
    right = np.bincount(codes, weights=1.0 - errors, minlength=n_classes)
    return np.divide(right, counts, out=np.full(n_classes, np.nan), where=counts > 0)
