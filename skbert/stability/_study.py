"""StabilityStudy: telling a better variant from a lucky seed or sample."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skbert._shared import check_verbose, derive_seeds, pandas, warn
from skbert.errors import RunStoreError
from skbert.estimators import MaxPoolBERTClassifier
from skbert.stability import _draws as draws
from skbert.stability._checks import (
    check_classes,
    check_data,
    check_readable,
    check_scorers,
    check_store_name,
    resolve_scoring,
)
from skbert.stability._design import (
    draw_rng,
    is_regression,
    plan_runs,
    resolve_baselines,
    resolve_seeds,
    resolve_variants,
    with_seeds,
)
from skbert.stability._execution import Job, execute_all
from skbert.stability._fingerprint import code_facts, data_facts, describe, differences, encoder_facts, unknown_in
from skbert.stability._frames import as_frame
from skbert.stability._planning import what_seeds_can_tell
from skbert.stability._results import StudyResults
from skbert.stability._run import key_of
from skbert.stability._run_store import RunStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike
    from sklearn.model_selection import ParameterGrid
    from typing_extensions import Self


class StabilityStudy(StudyResults, BaseEstimator):
    """Fit variants of an estimator over many seeds and sample draws, and compare them on equal terms.

    Every variant meets the same runs: the same random divisions into training and test texts,
    the same training sizes, the same seeds. Each finished run is stored at once; a
    study that was stopped, or killed, goes on with what is missing.

    Parameters
    ----------
    estimator : estimator, default=None
        Any scikit-learn classifier or regressor. None is ``MaxPoolBERTClassifier()``.
    variants : dict, list or ParameterGrid, default=None
        What is compared. A dict of name to parameters of `estimator`, to another estimator, or to None for
        `estimator` as it is; or a parameter grid, as in GridSearchCV, or a list of its points. None is the estimator
        alone. All their parameters ``random_state`` are set by the study.
    seeds : int or dict, default=20
        An int: so many runs of each variant and size, each with a sample draw and a seed of its own. Fewer than six
        can tell no difference, which a warning says.
        ``{"init": a, "order": b}``: a crossed design, in which a initialisations meet b
        orders of the texts, on one draw or on ``"draw"`` many; for variants with the parameters
        ``init_seed`` and ``order_seed``, while others run once a draw.
    train_sizes : int, float or list of them, default=None
        Training texts: numbers, or shares of what is not test. Drawn in proportion to the classes; the
        texts of a smaller size are among those of a larger one. None is all that is not test.
    test_size : float or int, default=0.25
        Texts to score on, drawn anew for each draw in proportion to the classes: a share, or a number.
        All copies of a text stay on the same side.
    scoring : str, sequence of str, scorer, or dict of name to scorer; default=None
        Scorers of scikit-learn. The first is the one that statistics take when none is named. None is
        ``("accuracy", "f1_macro")`` for classifiers and ``"r2"`` for regressors.
    baselines : sequence of str, default=("majority", "tfidf")
        Null models that run along: the most frequent class (for regressors the mean), and TF-IDF of words and
        word pairs with logistic (ridge) regression. ``()`` or None switches them off.
    store : str or path, default=None
        SQLite file in which finished runs are kept, such as "runs.sqlite". None keeps them in memory only.
    n_jobs : int, default=None
        Runs at once, through joblib; None is 1, or what a ``joblib.parallel_config`` around says. Every run
        computes on one core, so that the numbers are the same for any `n_jobs`; -1 uses all cores.
        Runs on one GPU take turns.
    random_state : int, RandomState instance or None, default=None
        Seed of draws and of all seeds. With None, a study that goes on takes that of its store.
    verbose : int, default=0
        1 shows a progress bar with the time left.

    Attributes
    ----------
    results_ : pandas.DataFrame
        One row a run: ``variant``, ``size`` (training texts), ``draw``, ``random_state``, ``init_seed``, ``order_seed``
        (what was set; missing where nothing was), one column a score, ``status`` ("ok" or "failed"), ``reason``,
        ``seconds`` (fit and evaluation, on one core), ``n_iter``.
    variants_ : dict of str to estimator
        Not fitted; the null models too.
    baselines_ : tuple of str
        Those of them that are null models.
    train_sizes_ : list of int
    scores_ : list of str
        Names of the scores.
    splits_ : list of Draw
        ``test`` rows, and ``train(size)`` rows, of each draw.
    crossed_ : bool
        Whether initialisation and order have seeds of their own.
    n_planned_ : int
        Runs of the design; ``results_`` has fewer where the study was interrupted.
    facts_ : dict
        What the store belongs to: data, design, variants, encoders and code.

    Raises
    ------
    RunStoreError
        The store belongs to a study on other data, with other arguments or code.

    See Also
    --------
    skbert.plots.StabilityDisplay : Learning curves, runs, best of n, and differences.
    skbert.stability.summarize : The same summary for any data frame of runs.

    Notes
    -----
    *Failed runs.* A run that raises has no scores; one whose training diverged, stayed constant or
    underfitted (``training_status_`` of skbert's own estimators) keeps them and counts in
    all statistics, for its user would have had them, too. Both have the status "failed", with the reason beside it.
    Nothing is tried again by itself; `skbert.stability.forget_failed` takes runs that raised out of a store, once
    what made them fail is mended.

    *Crossed designs* are there to tell sources of variance apart. Their cells share draws and seeds, so that
    differences are tested by mean squares, with Satterthwaite's degrees of freedom, and not by flips of single signs.
    With one draw nothing is said of other draws.

    *What intervals mean.* Runs on draws from one set of texts overlap. `Comparison` says apart what holds on draws from
    these texts, and what can be told of other texts of the same kind.

    *Sums on other machines.* Another processor sums in another order. Results are the same
    to the bit for any number of processes on one kind of machine.

    References
    ----------
    .. [1] Dodge, Ilharco, Schwartz, Farhadi, Hajishirzi, Smith (2020). Fine-Tuning Pretrained Language Models: Weight
       Initializations, Data Orders, and Early Stopping. arXiv:2002.06305.
    .. [2] Mosbach, Andriushchenko, Klakow (2021). On the Stability of Fine-tuning BERT. ICLR 2021. arXiv:2006.04884.

    Examples
    --------
    >>> from skbert import LayerPoolFeaturizer, StabilityStudy
    >>> from skbert.datasets import load_helpdesk
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y = load_helpdesk(return_X_y=True)
    >>> model = make_pipeline(LayerPoolFeaturizer("minilm", store="memory"), LogisticRegression(max_iter=1000))
    >>> readings = {pooling: {"layerpoolfeaturizer__token_pooling": pooling} for pooling in ("cls", "mean")}
    >>> study = StabilityStudy(model, readings, seeds=6, train_sizes=[30], random_state=0).fit(X[:80], y[:80])
    >>> study.summary()["variant"].tolist()
    ['cls', 'mean', 'majority', 'tfidf']
    >>> study.compare("mean", "cls").n
    6
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        variants: Mapping[str, Any] | Sequence[Any] | ParameterGrid | None = None,
        *,
        seeds: int | Mapping[str, int] = 20,
        train_sizes: int | float | Sequence[int | float] | None = None,
        test_size: float | int = 0.25,
        scoring: str | Sequence[str] | Callable[..., float] | Mapping[str, Any] | None = None,
        baselines: Sequence[str] | None = ("majority", "tfidf"),
        store: str | os.PathLike[str] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.variants = variants
        self.seeds = seeds
        self.train_sizes = train_sizes
        self.test_size = test_size
        self.scoring = scoring
        self.baselines = baselines
        self.store = store
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_is_fitted__(self):
        return hasattr(self, "results_")

    # ---------------------------------------------------------------- running

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Do all runs that are not in the store yet.

        Parameters
        ----------
        X : list, array, Series or DataFrame, (n,)
            Texts or pairs of texts; or, where no variant needs texts and ``baselines`` is without "tfidf", numbers.
        y : array-like (n,)
            Labels, or numbers for regressors.
        groups : array-like (n,), default=None
            Such as authors or threads: rows of one group stay on the same side, as copies of a text do.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Wrong input, or a parameter out of its range.
        RunStoreError
            The store belongs to another study, or is no store.
        ImportError
            pandas is not installed.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> len(study.results_) == study.n_planned_ == 2 * 2 * 4  # variants × sizes × seeds
        True
        >>> study.results_["status"].unique().tolist()
        ['ok']
        """
        pandas()  # said before anything is computed
        check_verbose(self.verbose)
        check_store_name(self.store)
        plan = resolve_seeds(self.seeds)
        estimator = MaxPoolBERTClassifier() if self.estimator is None else self.estimator
        variants = resolve_variants(estimator, self.variants)
        regression = is_regression(variants)
        scoring = resolve_scoring(self.scoring, regression)
        check_readable(X, variants)
        X, y, given_groups, keys, strata = check_data(X, y, groups, regression)
        baselines = resolve_baselines(self.baselines, variants, regression, texts=draws.holds_texts(X))
        estimators = {**variants, **baselines}
        check_scorers(scoring, y, regression)
        copies = draws.group_rows(keys)
        groups = copies if given_groups is None else draws.join_groups(copies, given_groups)
        n_classes = strata.max() + 1
        check_classes(groups, strata, y)
        n_test = draws.resolve_test_size(self.test_size, len(y), n_classes)
        # Said before the runs are paid for.
        too_few = None if plan.crossed else what_seeds_can_tell(plan.n_draws, len(estimators))
        for found in (draws.describe_copies(copies, strata), too_few):
            if found:
                warn(found)

        with closing(RunStore(self.store)) as store:
            root = self._root(store)
            splits = [draws.make_draw(groups, strata, n_test, draw_rng(root, i)) for i in range(plan.n_draws)]
            sizes = draws.resolve_train_sizes(self.train_sizes, min(len(split.order) for split in splits), n_classes)
            runs = plan_runs(estimators, sizes, plan, root)
            facts = {
                "data": data_facts(keys, y, regression, given_groups),
                "design": {
                    "seeds": plan.counts(),
                    "train sizes": sizes,
                    "test texts": n_test,
                    "scoring": describe(scoring),
                    "seed of the study": root,
                },
                "variants": {name: describe(model) for name, model in estimators.items()},
                "encoders": encoder_facts(estimators),
                "code": code_facts(),
            }
            self._claim(store, facts)
            self.variants_, self.baselines_, self.train_sizes_ = estimators, tuple(baselines), sizes
            self.scores_, self.splits_, self.facts_, self._root_seed = list(scoring), splits, facts, root
            self.crossed_, self.n_planned_ = plan.crossed, len(runs)
            try:
                self._run(store, runs, X, y, scoring)
            finally:
                # Also where the user stops it: what was computed can be looked at.
                self.results_ = as_frame(store.runs(), self.scores_, order=runs)
        _warn_of_failures(self.results_)
        return self

    def _root(self, store):
        """The seed of the study; without `random_state` that of the store, if it has one."""
        stored = store.facts().get("design", {}).get("seed of the study")
        if self.random_state is None and stored is not None:
            return stored
        return derive_seeds(self.random_state).split

    def _claim(self, store, facts):
        unknown = sorted({*unknown_in(facts["variants"]), *unknown_in(facts["design"])})
        if unknown and self.store is not None:
            warn(
                f"Objects of {', '.join(unknown)} cannot be told from others of their kind: should they change, the "
                "store will not notice."
            )
        store.adopt(facts)
        # An encoder that was out of reach had no hash, and runs that say so; now it is what the store belongs to.
        stored = store.facts()
        reached = {name: facts["encoders"].get(name) for name, known in stored["encoders"].items() if known is None}
        if any(reached.values()):
            stored["encoders"] |= reached
            store.replace("encoders", stored["encoders"])
        found = differences(stored, facts)
        if found:
            more = f"\n  and {len(found) - 6} more" if len(found) > 6 else ""
            raise RunStoreError(
                f"{store.path} holds runs of another study (stored → asked):\n  "
                + "\n  ".join(found[:6])
                + more
                + "\nRuns of different studies are not mixed: give the old arguments to go on with it, or another file "
                "as store. skbert.stability.read_runs reads what is there."
            )

    def _run(self, store, runs, X, y, scoring):
        done = set(map(key_of, store.runs()))
        todo = [run for run in runs if run.key() not in done]

        def jobs():
            for run in todo:
                split = self.splits_[run.draw]
                parts = [(_safe_indexing(X, rows), y[rows]) for rows in (split.train(run.size), split.test)]
                yield Job(run, with_seeds(self.variants_[run.variant], run), *parts, scoring)

        n_done = len(runs) - len(todo)
        with tqdm(total=len(runs), initial=n_done, unit="run", smoothing=0, disable=not self.verbose) as bar:
            # Without any job, workers would be started for nothing.
            for run, outcome in execute_all(jobs(), self.n_jobs) if todo else ():
                store.add(run.as_dict(), outcome)
                bar.set_postfix_str(f"{run.variant}, {run.size} texts")
                bar.update()

    def report(self, path: str | os.PathLike[str], *, title: str = "Stability study") -> Path:
        """Write the study as one self-contained HTML page.

        Parameters
        ----------
        path : str or path
            Of the page; figures are inside, nothing is fetched from a network.
        title : str, default="Stability study"
            Heading of the page.

        Returns
        -------
        Path

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            No run has finished yet.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     page = study.report(f"{folder}/report.html", title="Smoothing of a naive Bayes model")
        ...     "Smoothing of a naive Bayes model" in page.read_text(encoding="utf-8")
        True
        """
        check_is_fitted(self)
        from skbert.stability._report import write_report

        return write_report(self, path, title)


def _warn_of_failures(results):
    failed = results[results["status"] != "ok"]
    if len(failed):
        reasons = failed["reason"].value_counts()
        shown = "; ".join(f"{count} × {reason:.200}" for reason, count in reasons.head(3).items())
        warn(
            f"{len(failed)} of {len(results)} runs failed: {shown}. They are in results_ with their reasons.",
            RuntimeWarning,
        )
