"""Which layers are skipped: the parameter `spans`, names, and the triangle."""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np

from skbert._shared import is_int


def resolve_spans(spans, n_layers):
    """Turn the parameter `spans` into the sets of layers to skip.

    Parameters
    ----------
    spans : {"contiguous", "single"}, or list
        A list contains pairs (start, stop), tuples of layer indices, or sets of layer indices.
    n_layers : int
        L, the number of layers.

    Returns
    -------
    list of tuples of int
        Ascending layer indices, 0-based, in the order of `spans`. ``"contiguous"`` is ordered by start, then by stop.

    Raises
    ------
    ValueError
        `spans` is something else, a layer is out of range, a span is empty or repeated, or
        a tuple of two in the list could mean a span or two layers.
    """
    if isinstance(spans, str):
        if spans == "contiguous":
            return [tuple(range(a, b)) for a in range(n_layers) for b in range(a + 1, n_layers + 1)]
        if spans == "single":
            return [(layer,) for layer in range(n_layers)]
        raise ValueError(f"spans must be 'contiguous', 'single' or a list of spans, got {spans!r}")
    if not isinstance(spans, Iterable) or isinstance(spans, Set):
        raise ValueError(f"spans must be 'contiguous', 'single' or a list of spans, got {spans!r}")
    entries = [entry if isinstance(entry, Set) else _as_tuple(entry) for entry in spans]
    if not entries:
        raise ValueError("spans is empty; name at least one span to skip.")
    lengths = {len(entry) == 2 for entry in entries if isinstance(entry, tuple)}
    if len(lengths) == 2:
        raise ValueError(
            f"spans={list(spans)!r} mixes tuples of two, which are (start, stop), with tuples of other lengths, which "
            "are layers. Together with (start, stop), write layers as sets, such as {0, 3}."
        )
    resolved = [_layers(entry, n_layers) for entry in entries]
    for i, layers in enumerate(resolved):
        if layers in resolved[:i]:
            raise ValueError(f"spans names the layers {layers} more than once.")
    return resolved


def _as_tuple(entry):
    if isinstance(entry, str) or not isinstance(entry, Iterable):
        raise ValueError(f"spans must hold (start, stop), or tuples or sets of layers, got {entry!r}")
    return tuple(entry)


def _layers(entry, n_layers):
    for value in entry:
        if not is_int(value):
            raise ValueError(f"spans must hold ints, got {value!r} in {entry!r}")
    if isinstance(entry, tuple) and len(entry) == 2:
        start, stop = map(int, entry)
        if not 0 <= start < stop <= n_layers:
            raise ValueError(f"A span (start, stop) needs 0 <= start < stop <= {n_layers}, got {entry!r}")
        return tuple(range(start, stop))
    layers = sorted(map(int, entry))
    if not layers or len(set(layers)) < len(layers) or layers[0] < 0 or layers[-1] >= n_layers:
        raise ValueError(f"A set of skipped layers needs different layers in 0..{n_layers - 1}, got {entry!r}")
    return tuple(layers)


def bounds(skips):
    """First skipped layer, and last skipped layer plus one; int array (n_spans, 2)."""
    return np.array([(layers[0], layers[-1] + 1) for layers in skips])


def is_contiguous(layers):
    """Whether the skipped layers are consecutive."""
    return layers[-1] - layers[0] + 1 == len(layers)


def span_names(skips):
    """``skip_0_3`` for the layers 0, 1, 2; ``skip_layers_0_3`` for the layers 0 and 3 alone."""
    return [
        f"skip_{layers[0]}_{layers[-1] + 1}" if is_contiguous(layers) else "skip_layers_" + "_".join(map(str, layers))
        for layers in skips
    ]


def as_triangle(values, skips, n_layers):
    """Values (n_spans,) → (n_layers, n_layers + 1) by start and stop; NaN if there is no contiguous span."""
    grid = np.full((n_layers, n_layers + 1), np.nan)
    for value, layers in zip(values, skips, strict=True):
        if is_contiguous(layers):
            grid[layers[0], layers[-1] + 1] = value
    return grid
