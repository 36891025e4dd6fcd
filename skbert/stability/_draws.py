"""Sample draws: test rows and nested training rows, stratified; all copies of a text are on one side."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from skbert._shared import is_int
from skbert.text import check_texts


@dataclass(frozen=True)
class Draw:
    """One random division of the data.

    Attributes
    ----------
    test : int array (n_test,)
        Test rows, ascending.
    order : int array (n_pool,)
        All other rows, in such an order that the first k rows are a stratified sample for every k.
    """

    test: np.ndarray
    order: np.ndarray

    def train(self, size):
        """Training rows; the rows of a smaller size are part of those of a larger size."""
        return self.order[:size]


def row_keys(X):
    """Keys that identify the rows of `X`: texts, pairs of texts, or rows of numbers and mixed columns.

    Returns
    -------
    list of hashables, (n,)

    Raises
    ------
    ValueError, TypeError
        Some texts are wrong; see `skbert.text.check_texts`.
    """
    if holds_texts(X):
        return check_texts(X, "StabilityStudy").rows()
    if hasattr(X, "columns"):
        # By its text, so that cells that cannot be hashed do no harm.
        return [repr(row) for row in zip(*_cells_of(X), strict=True)]
    if hasattr(X, "tocsr"):
        rows = X.tocsr(copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        return [
            (rows.indices[start:stop].tobytes(), rows.data[start:stop].tobytes())
            for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
        ]
    # 0 and -0 are one number, of different bytes.
    numbers_of_X = np.asarray(X)
    return [row.tobytes() for row in np.ascontiguousarray(numbers_of_X.reshape(len(numbers_of_X), -1) + 0)]


def holds_texts(X):
    """Whether `X` is, or should be, texts or pairs of texts: everything that is not numbers or a table."""
    if hasattr(X, "columns"):
        return _is_frame_of_texts(X)
    if isinstance(X, (list, tuple)) and len(X):
        first = X[0]
        return not (
            isinstance(first, (list, tuple)) and len(first) and all(isinstance(v, numbers.Number) for v in first)
        )
    return not (hasattr(X, "tocsr") or (isinstance(X, np.ndarray) and X.dtype.kind in "biufc"))


def _cells_of(frame):
    """Columns of a data frame as lists; by position, for two columns may have one name."""
    at = frame.iloc if hasattr(frame, "iloc") else frame
    return [at[:, k].to_list() for k in range(len(frame.columns))]


def _is_frame_of_texts(frame):
    """Whether a data frame is one or two columns of texts rather than a table of features."""
    columns = _cells_of(frame)
    return len(columns) <= 2 and all(any(isinstance(cell, str) for cell in column) for column in columns)


def group_rows(keys):
    """The group of each row; rows that are alike share one; int array (n,)."""
    numbers_of = {}
    return np.array([numbers_of.setdefault(key, len(numbers_of)) for key in keys])


def join_groups(copies, groups):
    """Join copies of a text and the groups of the user; int array (n,) with the group of each row.

    Parameters
    ----------
    copies : int array (n,)
        Result of `group_rows`.
    groups : sequence of hashables (n,)
        Groups of the user.
    """
    own = group_rows(groups)
    links = sparse.coo_array((np.ones(len(own)), (copies, own)))
    # A graph of both kinds of groups; rows that are connected by any chain are one group.
    _, component = sparse.csgraph.connected_components(sparse.block_array([[None, links], [links.T, None]]))
    return np.unique(component[copies], return_inverse=True)[1]


def describe_copies(groups, strata):
    """Message about rows that occur more than once, or None if all are distinct."""
    counts = np.bincount(groups)
    repeated = np.flatnonzero(counts > 1)
    if not len(repeated):
        return None
    text = (
        f"{len(repeated)} of the texts occur more than once, {int(counts[repeated].sum())} rows in total. All copies "
        "of a text stay on the same side of every split."
    )
    n_torn = int(((_class_counts(groups, strata) > 0).sum(axis=1) > 1).sum())
    if n_torn:
        text += f" {n_torn} of them have different labels in different rows: check these before you trust a score."
    return text


def home_classes(groups, strata):
    """The class to which most rows of each group belong; int array (n_groups,)."""
    return _class_counts(groups, strata).argmax(axis=1)


def _class_counts(groups, strata):
    table = np.zeros((groups.max() + 1, strata.max() + 1), dtype=int)
    np.add.at(table, (groups, strata), 1)
    return table


def apportion(counts, total):
    """Divide `total` over classes in proportion to `counts`, at least 1 and at most ``count - 1`` each.

    Parameters
    ----------
    counts : int array (n_classes,)
        Each at least 2.
    total : int
        Between n_classes and ``sum(counts) - n_classes``.

    Returns
    -------
    int array (n_classes,)
        Largest remainders; sums to `total`.
    """
    ideal = counts * (total / counts.sum())
    shares = np.clip(np.floor(ideal).astype(int), 1, counts - 1)
    while shares.sum() != total:
        step = 1 if shares.sum() < total else -1
        free = (shares < counts - 1) if step > 0 else (shares > 1)
        lacking = np.where(free, step * (ideal - shares), -np.inf)
        shares[int(np.argmax(lacking))] += step
    return shares


def make_draw(groups, strata, n_test, rng):
    """Draw test rows and an order of the others.

    Parameters
    ----------
    groups : int array (n,)
        Rows of one group stay together.
    strata : int array (n,)
        Classes 0..k-1, kept in proportion on both sides; all 0 for none. Each is the home of two groups at least.
    n_test : int
        Test rows; met up to the size of the groups.
    rng : numpy Generator

    Returns
    -------
    Draw
    """
    quotas = apportion(np.bincount(strata), n_test)
    sizes, home = np.bincount(groups), home_classes(groups, strata)
    chosen = []
    for k, quota in enumerate(quotas):
        own = rng.permutation(np.flatnonzero(home == k))
        taken = []
        for group in own[:-1]:  # one stays to train on
            if sizes[group] <= quota:
                taken.append(group)
                quota -= sizes[group]
        chosen += taken or [own[np.argmin(sizes[own])]]
    in_test = np.isin(groups, chosen)
    return Draw(np.flatnonzero(in_test), _stratified_order(np.flatnonzero(~in_test), strata, rng))


def _stratified_order(rows, strata, rng):
    """`rows` in a random order; the first k rows have the classes in proportion, each class once if possible."""
    rows = rng.permutation(rows)
    places = np.empty(len(rows))
    for k in np.unique(strata[rows]):
        own = np.flatnonzero(strata[rows] == k)
        # The r-th of c rows stands where (r + 1/2) / c of the whole has gone by; the first of each class come first.
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
        places[own[0]] = 0
    # The random order of `rows` breaks ties.
    return rows[np.argsort(places, kind="stable")]


def resolve_test_size(test_size, n, n_classes):
    """Number of test rows for the parameter `test_size`, a share of the rows or a number.

    Raises
    ------
    ValueError
        `test_size` is out of range, or one side would have fewer rows than classes.
    """
    if is_int(test_size):
        n_test = int(test_size)
    elif isinstance(test_size, numbers.Real) and not isinstance(test_size, bool) and 0 < test_size < 1:
        n_test = round(float(test_size) * n)
    else:
        raise ValueError(f"test_size must be a float in (0, 1) or an int, got {test_size!r}")
    if not n_classes <= n_test <= n - n_classes:
        raise ValueError(
            f"test_size={test_size!r} leaves {n_test} rows to test on and {n - n_test} to train on, but each side "
            f"needs at least {n_classes}, one per class."
        )
    return n_test


def resolve_train_sizes(train_sizes, n_pool, n_classes):
    """Training sizes in rows, ascending, for the parameter `train_sizes`.

    Parameters
    ----------
    train_sizes : None, int, float, or a sequence of them
        None means all rows that are not test rows.
    n_pool : int
        Number of rows for training in every draw.
    n_classes : int
        Number of classes.

    Raises
    ------
    ValueError
        A size is out of range, or occurs twice.
    """
    if train_sizes is None:
        return [n_pool]
    if isinstance(train_sizes, numbers.Real):
        train_sizes = [train_sizes]
    if isinstance(train_sizes, (str, dict)) or not hasattr(train_sizes, "__iter__"):
        raise ValueError(f"train_sizes must be None, an int, a float or a list of them, got {train_sizes!r}")
    sizes = [_train_size(size, n_pool, n_classes) for size in train_sizes]
    if not sizes:
        raise ValueError("train_sizes is empty; name at least one size, or leave it None for all texts.")
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"train_sizes={list(train_sizes)!r} names the same number of texts twice: {sizes}")
    return sorted(sizes)


def _train_size(size, n_pool, n_classes):
    if is_int(size):
        n = int(size)
    elif isinstance(size, numbers.Real) and not isinstance(size, (bool, np.bool_)) and 0 < size <= 1:
        n = round(float(size) * n_pool)
    else:
        raise ValueError(f"train_sizes must hold ints (texts) or floats in (0, 1] (shares of the pool), got {size!r}")
    if not n_classes <= n <= n_pool:
        raise ValueError(
            f"A training size of {size!r} is {n} texts, but it must be at least {n_classes}, one per class, and "
            f"at most {n_pool}, the number of training texts in the smallest draw."
        )
    return n
