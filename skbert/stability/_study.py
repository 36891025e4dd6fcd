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
    resolve_train_scoring,
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
from skbert.stability._worker_encoders import encoders_for_workers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike
    from sklearn.model_selection import ParameterGrid
    from typing_extensions import Self


class StabilityStudy(StudyResults, BaseEstimator):
    """Fit variants of an estimator with many seeds and sample draws, and compare them on equal terms.

    Every variant has the same runs: the same random divisions into training and test texts,
    the same training sizes, and the same seeds. Each finished run is stored at once. If a
    study was stopped or killed, it continues with the missing runs.

    Parameters
    ----------
    estimator : estimator, default=None
        Any scikit-learn classifier or regressor. None is ``MaxPoolBERTClassifier()``.
    variants : dict, list or ParameterGrid, default=None
        The variants to compare. A dict of name to parameters of `estimator`, to another estimator, or to None for
        `estimator` without changes. Or a parameter grid, as in GridSearchCV, or a list of its points. None compares
        nothing and runs the estimator alone. The study sets all parameters ``random_state`` of the variants.
    seeds : int or dict, default=20
        An int is the number of runs of each variant and size; each run has its own sample draw and its own seed. Fewer
        than six runs cannot show any difference, and a warning says so.
        ``{"init": a, "order": b}`` is a crossed design: each of a initialisations is combined with each of b
        orders of the texts, on one draw or on ``"draw"`` draws. It is for variants with the parameters
        ``init_seed`` and ``order_seed``; other variants run once per draw.
    train_sizes : int, float or list of them, default=None
        Numbers of training texts, or shares of the texts that are not test texts. They are drawn in proportion to the
        classes, and the texts of a smaller size are part of those of a larger size. None means all texts that are not
        test texts.
    test_size : float or int, default=0.25
        Share or number of test texts. They are drawn again for each draw, in proportion to the classes.
        All copies of a text stay on the same side.
    scoring : str, sequence of str, scorer, or dict of name to scorer; default=None
        Scorers of scikit-learn. The first is the one that statistics take when none is named. None is
        ``("accuracy", "f1_macro")`` for classifiers and ``"r2"`` for regressors.
    train_scoring : str, sequence of str, scorer, or dict of name to scorer; default=None
        Scorers that get the fitted estimator of a run with the run's own training texts and their labels, given as
        `scoring` is. Their names begin with ``train_``. Nothing that compares or describes variants uses them; see
        `correlate`. None computes none.
    baselines : sequence of str, default=("majority", "tfidf")
        Null models that also run: the most frequent class (for regressors the mean), and TF-IDF of words and
        word pairs with logistic (ridge) regression. ``()`` or None switches them off.
    store : str or path, default=None
        SQLite file in which finished runs are kept, such as "runs.sqlite". None keeps them in memory only.
    n_jobs : int, default=None
        Number of runs at once, through joblib; -1 uses all cores. None is 1, or the value of an enclosing
        ``joblib.parallel_config``. Every run uses one core, so the numbers are the same for any `n_jobs`.
        Runs on one GPU take turns.
    random_state : int, RandomState instance or None, default=None
        Seed of draws and of all seeds. With None, a study that continues uses the seed in its store.
    verbose : int, default=0
        1 shows a progress bar with the time left.

    Attributes
    ----------
    results_ : pandas.DataFrame
        One row per run: ``variant``, ``size`` (training texts), ``draw``, ``random_state``, ``init_seed``,
        ``order_seed`` (missing if it was not set), one column per score, one per training score (``train_`` and its
        name), ``status`` ("ok" or "failed"), ``reason``, ``seconds`` (fit and evaluation, on one core), ``n_iter``.
    variants_ : dict of str to estimator
        The estimator of each variant and null model, not fitted.
    baselines_ : tuple of str
        Names of the null models.
    train_sizes_ : list of int
        Training sizes in texts, ascending.
    scores_ : list of str
        Names of the scores.
    train_scores_ : list of str
        Names of the training scores, which begin with ``train_``.
    splits_ : list of Draw
        ``test`` rows, and ``train(size)`` rows, of each draw.
    crossed_ : bool
        Whether initialisation and order have their own seeds.
    n_planned_ : int
        Number of runs of the design; ``results_`` has fewer if the study was interrupted.
    facts_ : dict
        Description of the study, which is also in the store: data, design, variants, encoders and code.

    Raises
    ------
    RunStoreError
        The store belongs to a study with other data, arguments or code.

    See Also
    --------
    skbert.plots.StabilityDisplay : Draws learning curves, runs, best of n, and differences.
    skbert.stability.summarize : The same summary for any data frame of runs.

    Notes
    -----
    *Failed runs.* A run that raises an error has no scores. A run whose training diverged, stayed constant or
    underfitted (``training_status_`` of the estimators of skbert) keeps its scores and counts in all statistics,
    because a user would have got this result too. Both have the status "failed" and a reason. No run is repeated
    automatically. If the cause is removed, `skbert.stability.forget_failed` removes runs that raised an error from a
    store, so that the study does them again. A score that cannot be computed is missing, and its run has failed, with
    the other scores kept. Only a training score that cannot be computed for a null model is no failure.

    *Crossed designs* separate sources of variance. Their cells share draws and seeds. So differences are tested with
    mean squares, with Satterthwaite's degrees of freedom, and not with flips of single signs. One draw says nothing
    about other draws.

    *What intervals mean.* Runs on draws from one set of texts overlap. `Comparison` reports separately what holds on
    draws from these texts, and what can be shown for other texts of the same kind.

    *Sums on other machines.* Another processor computes sums in another order. On one kind of machine, results are
    equal to the last bit for any number of processes.

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
        train_scoring: str | Sequence[str] | Callable[..., float] | Mapping[str, Any] | None = None,
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
        self.train_scoring = train_scoring
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
            Texts or pairs of texts; or numbers, if no variant needs texts and ``baselines`` does not contain "tfidf".
        y : array-like (n,)
            Labels, or numbers for regressors.
        groups : array-like (n,), default=None
            Groups of rows, such as authors or threads: rows of a group stay on the same side, like copies of a text.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, or a parameter is out of its range.
        RunStoreError
            The store belongs to another study, or the file is not a store.
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
        pandas()  # if it is missing, the error comes before anything is computed
        check_verbose(self.verbose)
        check_store_name(self.store)
        plan = resolve_seeds(self.seeds)
        estimator = MaxPoolBERTClassifier() if self.estimator is None else self.estimator
        variants = resolve_variants(estimator, self.variants)
        regression = is_regression(variants)
        scoring = resolve_scoring(self.scoring, regression)
        train_scoring = resolve_train_scoring(self.train_scoring, scoring)
        check_readable(X, variants)
        X, y, given_groups, keys, strata = check_data(X, y, groups, regression)
        baselines = resolve_baselines(self.baselines, variants, regression, texts=draws.holds_texts(X))
        estimators = {**variants, **baselines}
        for parameter, scorers in (("scoring", scoring), ("train_scoring", train_scoring)):
            check_scorers(parameter, scorers, y, regression)
        copies = draws.group_rows(keys)
        groups = copies if given_groups is None else draws.join_groups(copies, given_groups)
        n_classes = strata.max() + 1
        check_classes(groups, strata, y)
        n_test = draws.resolve_test_size(self.test_size, len(y), n_classes)
        # These warnings come before any run is done.
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
                    "train scoring": describe(list(train_scoring.items())),
                    "seed of the study": root,
                },
                "variants": {name: describe(model) for name, model in estimators.items()},
                "encoders": encoder_facts(estimators),
                "code": code_facts(),
            }
            self._claim(store, facts)
            self.variants_, self.baselines_, self.train_sizes_ = estimators, tuple(baselines), sizes
            self.scores_, self.train_scores_ = list(scoring), list(train_scoring)
            self.splits_, self.facts_, self._root_seed = splits, facts, root
            self.crossed_, self.n_planned_ = plan.crossed, len(runs)
            try:
                self._run(store, runs, X, y, scoring, train_scoring)
            finally:
                # Also if the user stops the study, so that the finished runs can be inspected.
                self.results_ = as_frame(store.runs(), [*self.scores_, *self.train_scores_], order=runs)
        _warn_of_failures(self.results_)
        return self

    def _root(self, store):
        """The seed of the study; without `random_state` the seed in the store, if there is one."""
        stored = store.facts().get("design", {}).get("seed of the study")
        if self.random_state is None and stored is not None:
            return stored
        return derive_seeds(self.random_state).split

    def _claim(self, store, facts):
        unknown = sorted({*unknown_in(facts["variants"]), *unknown_in(facts["design"])})
        if unknown and self.store is not None:
            warn(
                f"The content of objects of {', '.join(unknown)} is not known to the store: if they change, the store "
                "does not notice it."
            )
        store.adopt(facts)
        # An encoder that was not available had no hash, and its runs failed; now its hash is added to the store.
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
                + "\nRuns of different studies are not mixed: use the old arguments to continue that study, or another "
                "file as store. skbert.stability.read_runs reads the runs in the file."
            )

    def _run(self, store, runs, X, y, scoring, train_scoring):
        done = set(map(key_of, store.runs()))
        todo = [run for run in runs if run.key() not in done]

        def jobs(copies):
            for run in todo:
                split = self.splits_[run.draw]
                parts = [(_safe_indexing(X, rows), y[rows]) for rows in (split.train(run.size), split.test)]
                estimator, is_null = with_seeds(self.variants_[run.variant], run), run.variant in self.baselines_
                yield Job(run, estimator, *parts, scoring, train_scoring, is_null, copies)

        n_done, needed = len(runs) - len(todo), {run.variant: self.variants_[run.variant] for run in todo}
        bar = tqdm(total=len(runs), initial=n_done, unit="run", smoothing=0, disable=not self.verbose)
        with bar, encoders_for_workers(needed, self.n_jobs) as copies:
            # If there is no job, no workers are started.
            for run, outcome in execute_all(jobs(copies), self.n_jobs) if todo else ():
                store.add(run.as_dict(), outcome)
                bar.set_postfix_str(f"{run.variant}, {run.size} texts")
                bar.update()

    def report(self, path: str | os.PathLike[str], *, title: str = "Stability study") -> Path:
        """Write the study as one self-contained HTML page.

        Parameters
        ----------
        path : str or path
            File of the page. It contains its figures, and needs no network.
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
