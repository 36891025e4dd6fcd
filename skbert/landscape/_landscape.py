"""LossLandscape: what fine-tuning does to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_bool, check_choice, check_int, check_real, check_verbose, derive_seeds, reads_texts
from skbert.landscape._checks import check_labelled, check_pair, check_parameters, check_subject
from skbert.landscape._curvature import curvature_of, sharpness_of
from skbert.landscape._groups import depth_groups
from skbert.landscape._points import grid
from skbert.landscape._sentences import conclusions_of
from skbert.landscape._survey import Survey
from skbert.landscape._text_loss import TextLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Self


class LossLandscape(BaseEstimator):
    """Look at the loss between and around the start and the end of fine-tuning.

    The start is the pretrained encoder with its new head, the end is the fine-tuned model. The loss of fixed texts is
    computed on the line through both, on a plane through both, and where only a group of layers moves, as Hao, Dong,
    Wei and Xu [1]_ did it. Every point sees the same texts, without dropout.

    Parameters
    ----------
    estimator : estimator, default=None
        A `MaxPoolBERTClassifier` or `MaxPoolBERTRegressor`, a Pipeline that ends in one, or a FrozenEstimator of
        these, which is fitted already on the texts of `fit`. None is ``MaxPoolBERTClassifier()``.
    second : {"seed", "data", "random"} or None, default="seed"
        The second direction of the plane. ``"seed"``: to the end of another fit from the same start, with another order
        of the texts and another dropout. ``"data"``: to the end of a fit on other texts (`X_second`, `y_second`) from
        the same start; a head of another size takes no part. ``"random"``: a Gaussian direction in which each row of a
        matrix has the length of this row in the fine-tuned model, and biases and LayerNorm stay (Li et al. [2]_).
        Every direction is then scaled to the length of the first. None: no plane. With `contrastive_center`, all
        points are seen from the centre of the first fit.
    n_points : int, default=21
        Number of points of a line, and of each axis of the plane.
    span : tuple of two floats, default=(-0.5, 1.5)
        From where to where; 0 is the start, and 1 the end. The nearest points are moved to exactly 0 and 1.
    n_groups : int, default=3
        Number of groups of layers; 0 leaves the groups out.
    max_texts : int, default=500
        Losses are computed for at most this many training texts, and as many validation texts, drawn at random.
    random_state : int, RandomState instance or None, default=None
        Seed of the other fit, of the random direction, of the drawn texts and of the bands. `estimator` has its own.
    verbose : int, default=0
        1 shows a progress bar with the time left.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    start_, end_ : Weights
        The weights before and after fine-tuning; ``start_.distance_to(end_)`` is the length of the first direction.
    alphas_, betas_ : float arrays (n_points,)
        Coordinates of the points along the first and the second direction; `betas_` is None without a plane.
    line_ : Bunch
        On the line: ``train_loss``, ``train_error`` (n_points,); ``train_low``, ``train_high``, the ends of 95 %
        bootstrap bands of the mean loss over texts; ``train_losses``, ``train_errors`` (n_points, n_texts). The same
        with ``val``, None without validation texts. A loss is the cross-entropy without label smoothing in nats, or
        the squared error of standardised targets. An error is the share of wrong predictions, or the mean squared
        error in the unit of `y`.
    surface_ : Bunch or None
        On the plane: the same without bands, (n_points, n_points) with rows for beta and columns for alpha;
        ``cosine``, the cosine of the two directions; ``second_beta``, the beta at which the end of the other fit lies
        (None for ``"random"``). None without a plane.
    trajectory_ : float array (n_epochs + 1, 2)
        Where the weights lay at the start and after each epoch: alpha and beta, by exact projection. Contrastive steps
        and a head from logistic regression add one row each. Without a plane, beta is the distance from the line.
    trajectory_distance_ : float array (n_epochs + 1,)
        How far they lay from the plane, in units of the distance from start to end.
    trajectory_losses_ : float array (n_epochs + 1,)
        Training loss with those weights themselves, not with their projection.
    trajectory_phases_ : list of str
        The phase after which each row was taken.
    group_lines_ : Bunch or None
        ``groups``, ranges of depths (0 is the embeddings, d is layer d), and their ``names``; ``train_loss``,
        ``val_loss``, ``train_error``, ``val_error`` (n_groups, n_points), where only one group moves from its start to
        its end, and all else is at its end. None if ``n_groups=0``.
    rollback_ : Bunch or None
        Each group set back to its start, all else at its end: ``groups``, ``val_loss``, ``val_error`` (n_groups,),
        ``val_recall`` (n_groups, n_classes), ``whole_val_loss``, ``whole_val_error``, ``whole_val_recall`` of the
        whole model; and the same with ``train``. None if ``n_groups=0``.
    barrier_ : float or None
        With ``second="seed"``: by how much the training loss on the straight path between the two fits rises above
        the line between their losses, in nats. None otherwise.
    barrier_line_ : Bunch or None
        The losses on this path, as in `line_`.
    consistency_, error_consistency_ : float or None
        Spearman correlation of ``surface_.train_loss`` and ``surface_.val_loss``, and of ``surface_.train_loss`` and
        ``surface_.val_error``; None without them.
    classes_ : array (n_classes,)
        Labels, for a classifier.
    train_rows_, val_rows_ : int arrays
        Rows of the texts whose losses are computed.
    curvature_ : Bunch
        The last result of `curvature`, for pictures.

    Raises
    ------
    TypeError
        The estimator is none of those above.

    See Also
    --------
    skbert.plots.LossLandscapeDisplay : Draws lines, surfaces, groups, rollback and the spectral density.
    skbert.landscape.sharpness_score : Sharpness as a scorer, for `StabilityStudy` and `cross_validate`.

    Notes
    -----
    *What flatness does not tell.* Sharpness and curvature depend on how weights are written down: if queries are
    multiplied and keys divided by the same number, no output changes, but both change. Andriushchenko et al. [3]_
    found, with BERT too, that sharpness goes with the learning rate rather than with generalisation. So compare fits
    of one recipe only, over many seeds, with `StabilityStudy.correlate`.

    *How it is computed.* The start is recorded when the fit begins, head included. For the trajectory, the fit is
    repeated with the same seeds, so that no epoch is stored. The estimator itself is never changed: all points are
    computed on a copy of its network. Beside the estimator, the weights are in memory four times: the start, two
    directions, and this copy.

    References
    ----------
    .. [1] Hao, Dong, Wei, Xu (2019). Visualizing and Understanding the Effectiveness of BERT. EMNLP 2019.
       arXiv:1908.05620.
    .. [2] Li, Xu, Taylor, Studer, Goldstein (2018). Visualizing the Loss Landscape of Neural Nets. NeurIPS 2018.
       arXiv:1712.09913.
    .. [3] Andriushchenko, Croce, Müller, Hein, Flammarion (2023). A Modern Look at the Relationship between Sharpness
       and Generalization. ICML 2023. arXiv:2302.07011.
    .. [4] Juneja, Bansal, Cho, Sedoc, Saphra (2023). Linear Connectivity Reveals Generalization Strategies. ICLR 2023.
       arXiv:2205.12411.

    Examples
    --------
    >>> from skbert import LossLandscape, MaxPoolBERTClassifier
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> land = LossLandscape(clf, n_points=5, random_state=0).fit(texts, labels)
    >>> land.line_.train_loss.shape, land.surface_.train_losses.shape
    ((5,), (5, 5, 4))
    >>> bool(land.line_.train_loss[3] < land.line_.train_loss[1])  # the end and the start
    True
    >>> land.trajectory_[0].tolist(), land.trajectory_.shape
    ([0.0, 0.0], (4, 2))
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        second: str | None = "seed",
        n_points: int = 21,
        span: Sequence[float] = (-0.5, 1.5),
        n_groups: int = 3,
        max_texts: int = 500,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.second = second
        self.n_points = n_points
        self.span = span
        self.n_groups = n_groups
        self.max_texts = max_texts
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = reads_texts(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "line_")

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        X_second: ArrayLike | None = None,
        y_second: ArrayLike | None = None,
    ) -> Self:
        """Fine-tune the estimator, and compute the losses around its way.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str, (n,)
            Training texts, or the input of the first step of a Pipeline.
        y : array-like (n,)
            Labels, or numbers for a regressor.
        X_val : as `X`, default=None
            Held-out texts; the training does not see them.
        y_val : as `y`, default=None
            Targets of `X_val`.
        X_second : as `X`, default=None
            Texts of the second fit, for ``second="data"``.
        y_second : as `y`, default=None
            Targets of `X_second`; their labels may be others.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, a parameter is out of its range, or the estimator has no landscape.
        NotFittedError
            A FrozenEstimator holds an estimator that is not fitted.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=5, random_state=0)
        >>> land = land.fit(texts, labels, X_val=["a lost parcel", "refund it"], y_val=["order", "refund"])
        >>> land.rollback_.groups
        [range(0, 3), range(3, 5), range(5, 7)]
        >>> land.rollback_.val_recall.shape
        (3, 2)
        """
        check_parameters(self)
        check_verbose(self.verbose)
        alphas = grid(self.span, self.n_points)
        subject = check_subject(self.estimator)
        sets = self._check_sets(subject, X, y, X_val, y_val, X_second, y_second)
        groups = self._check_groups(subject)
        seeds = np.random.SeedSequence(derive_seeds(self.random_state).init).generate_state(5).tolist()
        survey = Survey(subject, self.second, alphas, groups, self.max_texts, seeds, self.verbose)
        # Only now, so that a fit that fails or is interrupted leaves the last one as it was.
        for name, value in survey.attributes(*sets).items():
            setattr(self, name, value)
        return self

    def _check_sets(self, subject, X, y, X_val, y_val, X_second, y_second):
        """The three sets of texts, checked; those that are not there are None."""
        check_pair(X_val, y_val, "val")
        check_pair(X_second, y_second, "second")
        if (X_second is not None) != (self.second == "data"):
            raise ValueError(f'second="data" needs X_second and y_second, and only it takes them; got {self.second!r}.')
        train = check_labelled(X, y, "X", subject)
        classes = np.unique(train[1]) if subject.classifies else None
        val = None if X_val is None else check_labelled(X_val, y_val, "X_val", subject, classes)
        other = None if X_second is None else check_labelled(X_second, y_second, "X_second", subject)
        return train, val, other

    def _check_groups(self, subject):
        if not self.n_groups:
            return []
        try:
            n_layers = clone(subject.reader).count_layers()
        except NotImplementedError as error:
            raise NotImplementedError(
                f"Groups of layers need a family that skbert runs layer by layer; set n_groups=0 ({error})"
            ) from None
        if self.n_groups > n_layers:
            raise ValueError(f"n_groups={self.n_groups}, but the encoder runs {n_layers} layers.")
        return depth_groups(n_layers, self.n_groups)

    def curvature(self, n_eigenvalues: int = 3, n_probes: int = 16, kind: str = "ggn", at: str = "end") -> Bunch:
        """Compute the curvature of the mean training loss: eigenvalues, trace and spectral density.

        Parameters
        ----------
        n_eigenvalues : int, default=3
            How many of the largest eigenvalues; 0 leaves them out, and the density.
        n_probes : int, default=16
            Number of random vectors for the trace; 0 leaves it out.
        kind : {"ggn", "hessian"}, default="ggn"
            ``"ggn"`` is the generalised Gauss-Newton matrix, the Hessian of the loss with the network made linear in
            its weights. It has no negative eigenvalues. ``"hessian"`` is the Hessian itself.
        at : {"end", "start"}, default="end"
            The weights at which the loss is curved.

        Returns
        -------
        Bunch
            ``eigenvalues`` (n_eigenvalues,), descending; ``residuals``, for each the length of A v - value v, so that
            an eigenvalue is at most this far away; ``trace``; ``trace_error``, its standard error; ``trace_by_layer``
            (n_layers + 2,): the embeddings, each layer, and all above the layers; ``density_nodes`` and
            ``density_weights`` (n_steps,), whose weighted sum of a function estimates its mean over all eigenvalues.

        Notes
        -----
        Only trained weights count, and of the embedding table only rows whose tokens occur: all others have no
        curvature. Eigenvalues come from Lanczos with full re-orthogonalisation, the trace from Hutchinson's estimate.
        Products with the Hessian are central differences of gradients. Lanczos keeps up to ``n_eigenvalues + 17``
        vectors of as many numbers as there are weights.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=5, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> found = land.curvature(n_eigenvalues=2, n_probes=4)
        >>> found.eigenvalues.shape, bool(found.eigenvalues[0] >= found.eigenvalues[1])
        ((2,), True)
        >>> found.trace_by_layer.shape
        (8,)
        """
        check_is_fitted(self)
        check_int("n_eigenvalues", n_eigenvalues, 0)
        check_int("n_probes", n_probes, 0)
        check_choice("kind", kind, ("ggn", "hessian"))
        self.curvature_ = curvature_of(self._loss_at(at), kind, n_eigenvalues, n_probes, self._seed)
        return self.curvature_

    def sharpness(self, rho: float = 0.05, adaptive: bool = True, *, at: str = "end") -> float:
        """Compute by how much the mean training loss rises after one step up the gradient.

        Parameters
        ----------
        rho : float, default=0.05
            Length of the step.
        adaptive : bool, default=True
            Whether each weight's step is in units of its own size (ASAM); rescalings that change no output then do
            not change the value. False is the step of SAM.
        at : {"end", "start"}, default="end"
            The weights from which the step starts.

        Returns
        -------
        float
            In nats for a classifier.

        See Also
        --------
        skbert.landscape.sharpness_score : The same for any fitted estimator and any texts.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=5, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> land.sharpness() > 0
        True
        """
        check_is_fitted(self)
        rho = check_real("rho", rho, low=0, open_low=True)
        return sharpness_of(self._loss_at(at), rho, check_bool("adaptive", adaptive))

    def losses_by_label(self, which: str = "line", part: str = "train") -> dict[Any, np.ndarray]:
        """Return the mean loss of the texts of each label, at every point.

        Parameters
        ----------
        which : {"line", "surface"}, default="line"
            The line, or the plane.
        part : {"train", "val"}, default="train"
            The training texts, or the validation texts.

        Returns
        -------
        dict of label to float array (n_points,) or (n_points, n_points)
            NaN for a label without texts.

        Raises
        ------
        ValueError
            The landscape is that of a regressor, or was computed without a plane or without validation texts.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=5, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> found = land.losses_by_label()
        >>> sorted(found), found["order"].shape
        (['order', 'refund'], (3,))
        """
        check_is_fitted(self)
        check_choice("which", which, ("line", "surface"))
        check_choice("part", part, ("train", "val"))
        points = {"line": self.line_, "surface": self.surface_}[which]
        if points is None or points[f"{part}_losses"] is None or not hasattr(self, "classes_"):
            raise ValueError(f"This landscape has no {part} losses of labels on a {which}.")
        losses, codes = points[f"{part}_losses"], self._codes[part]
        counts = np.bincount(codes, minlength=len(self.classes_))
        sums = losses.astype(float) @ np.eye(len(self.classes_))[codes]
        means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return {label: means[..., place] for place, label in enumerate(self.classes_.tolist())}

    def conclusions(self) -> list[str]:
        """Say in plain sentences what the landscape shows.

        Returns
        -------
        list of str
            The loss at start and end, where the held-out loss is lowest, how alike both surfaces are, the barrier, what
            each group of layers is needed for, and what flatness does not tell.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=5, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> land.conclusions()[0].partition(" goes")[0]
        'From start to end, the loss of the training texts'
        """
        check_is_fitted(self)
        return conclusions_of(self)

    def report(self, path: str | Path, *, title: str = "Loss landscape") -> Path:
        """Write an HTML page with the sentences, pictures and tables of the landscape.

        Curvature is on it if `curvature` was called before.

        Parameters
        ----------
        path : str or Path
            The file to write.
        title : str, default="Loss landscape"
            Title of the page.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ImportError
            matplotlib or jinja2 is not installed.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=5, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> import tempfile
        >>> land.report(f"{tempfile.mkdtemp()}/landscape.html").name
        'landscape.html'
        """
        check_is_fitted(self)
        from skbert.landscape._report import write_report

        return write_report(self, path, title)

    def _loss_at(self, at):
        check_choice("at", at, ("end", "start"))
        weights = {"end": self.end_, "start": self.start_}[at]._tensors
        return TextLoss(check_subject(self.estimator_).reader, *self._texts, weights)
