"""Runs of a store as a data frame."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from skbert._shared import pandas
from skbert.stability._run import DESIGN, OUTCOME, SEEDS, key_of
from skbert.stability._run_store import RunStore, read_store

if TYPE_CHECKING:
    import os

    from pandas import DataFrame


def read_runs(path: str | os.PathLike[str]) -> DataFrame:
    """Read the runs in the store of a study, also of an unfinished study.

    Parameters
    ----------
    path : str or path
        The `store` of the study.

    Returns
    -------
    pandas.DataFrame
        The same table as ``results_`` of the study, for example for `summarize`. Without rows if no run is finished.

    Raises
    ------
    RunStoreError
        There is no store at `path`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skbert import StabilityStudy
    >>> from skbert.stability import read_runs
    >>> from sklearn.dummy import DummyClassifier
    >>> texts, labels = [f"text {i}" for i in range(12)], ["a", "b"] * 6
    >>> with TemporaryDirectory() as folder:
    ...     store = f"{folder}/runs.sqlite"
    ...     study = StabilityStudy(DummyClassifier(), seeds=3, baselines=(), store=store, random_state=0)
    ...     runs = read_runs(study.fit(texts, labels).store)
    >>> runs[["variant", "size", "status"]].values.tolist()
    [['DummyClassifier', 9, 'ok'], ['DummyClassifier', 9, 'ok'], ['DummyClassifier', 9, 'ok']]
    """
    facts, runs = read_store(path)
    names, train_names = _names_of_scores(facts)
    return as_frame(runs, [*names, *train_names])


def _names_of_scores(facts):
    """Names of the scores, and of the training scores, of the study to which a store belongs."""
    design = facts.get("design", {})
    scoring = design.get("scoring", [])
    names = [key for key, _ in scoring["dict"]] if isinstance(scoring, dict) else scoring
    # Stores of studies from before there were training scores say nothing of them.
    return names, [name for name, _ in design.get("train scoring", [])]


def forget_failed(path: str | os.PathLike[str]) -> int:
    """Remove runs that raised an error from a store, so that the study does them again.

    Use this for failures with an external cause that is solved: a full disk, a GPU that others used, a missing model.
    Runs whose training failed have scores and are not removed.

    Parameters
    ----------
    path : str or path
        The `store` of the study.

    Returns
    -------
    int
        Number of removed runs.

    Raises
    ------
    RunStoreError
        There is no store at `path`.

    Examples
    --------
    >>> import warnings
    >>> from tempfile import TemporaryDirectory
    >>> from skbert import StabilityStudy
    >>> from skbert.stability import forget_failed
    >>> from sklearn.dummy import DummyClassifier
    >>> texts, labels = [f"text {i}" for i in range(12)], ["a", "b"] * 6
    >>> never = DummyClassifier(strategy="constant", constant="unknown")
    >>> with TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     store = f"{folder}/runs.sqlite"
    ...     study = StabilityStudy(never, seeds=3, baselines=(), store=store, random_state=0)
    ...     study = study.fit(texts, labels)
    ...     forget_failed(store), forget_failed(store)
    (3, 0)
    """
    facts, runs = read_store(path)
    if not runs:  # perhaps a store that another process is just making
        return 0
    with closing(RunStore(path)) as store:
        return store.drop_failed(_names_of_scores(facts)[0])


def as_frame(runs, scores, order=None):
    """Runs of a store as a data frame, in the order of the plan."""
    pd = pandas()
    if order is not None:
        place = {run.key(): i for i, run in enumerate(order)}
        runs = sorted(runs, key=lambda run: place[key_of(run)])
    rows = [
        [*(run[name] for name in DESIGN), *(run["scores"].get(name) for name in scores), *(run[n] for n in OUTCOME)]
        for run in runs
    ]
    frame = pd.DataFrame(rows, columns=[*DESIGN, *scores, *OUTCOME])
    # Seeds that were not set are missing values, and the other seeds stay ints.
    for name in (*SEEDS, "n_iter"):
        frame[name] = frame[name].astype("Int64")
    return frame.astype(dict.fromkeys([*scores, "seconds"], float))
