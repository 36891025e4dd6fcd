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


class MaxPoolBERTClassifier(ClassifierMixin, MaxPoolBERTBase):
    """Classifier that fine-tunes a BERT-family encoder, reading it by MaxPoolBERT or its relatives.

    The encoder's hidden states are pooled over layers, then over tokens, and a
    linear layer on top gives the classes; all of it is trained. The defaults are
    MaxPoolBERT [1]_ (element-wise maximum over the last three layers, then one
    multi-head attention from [CLS] to all tokens), trained by the recipe of
    Mosbach et al. [2]_ (20 epochs, warm-up, linear decay, bias-corrected AdamW),
    which is stable on few data rather than quick.

    Parameters
    ----------
    model : str or path, default="bert-base-uncased"
        A Hub id, a local folder with safetensors weights, or ``"minilm"`` for the
        6-layer weights that the extra ``skbert[minilm]`` installs.
    revision : str, default=None
        Branch, tag or commit of a Hub model; of no effect for what lies on this machine.
    layers : int or sequence of int, default=3
        Hidden states to pool: the last k transformer layers, or indices in 0..L
        (0 is the output of the embeddings, negative from the end).
    layer_pooling : {"max", "mean", "sum", "concat", "weighted"}, default="max"
        How the chosen layers become one, token by token. ``"weighted"`` is a
        learned softmax mix.
    token_pooling : {"cls", "mean", "max", "mha"}, default="mha"
        How the tokens become one vector: the first token, the mean or maximum over
        all tokens ([CLS] and [SEP] count, pads never do), or one multi-head attention
        with [CLS] as its query.
    n_heads : int, default=4
        Heads of ``"mha"``; must divide the width of the pooled tokens.
    head : {"linear", "pooler"}, default="linear"
        What follows: dropout and a linear layer; with ``"pooler"`` the encoder's own
        pretrained dense layer and tanh come first.
    layer_path : sequence of int, default=None
        Transformer layers to run, in order, as 0-based indices: leaving some out skips
        them, naming one twice duplicates it, each with weights of its own. None is all,
        once. `layers` and everything else counts along the path. Layers that share
        weights, as ALBERT's do, go on sharing them; only repeats get their own.
    freeze_layers : int, default=0
        Keep the embeddings and this many of the lowest layers as they are. The frozen
        part runs without dropout, once a text; its states are used again in every epoch,
        and from the memory store (see `FeatureStore`) in later fits of this process. At 0
        the embeddings train too.
    reinit_layers : int, default=0
        Draw this many of the topmost layers anew, and the pooler too where it is the head:
        weights from N(0, initializer_range²), biases 0, LayerNorm 1 and 0.
    max_length : int, default=None
        Longest input in tokens; None is what the encoder takes. Longer texts are cut.
    max_epochs : int, default=20
        Passes over the training texts.
    batch_size : int, default=16
        Texts in one optimizer step. When memory runs out, a batch is computed in
        smaller parts; the step stays the same.
    learning_rate : float, default=2e-5
        Highest learning rate, reached at the end of the warm-up.
    head_learning_rate : float, default=None
        The same for the new parameters (poolings and linear layer); None is `learning_rate`.
    layer_decay : float, default=1.0
        Factor in (0, 1] by which the learning rate falls from layer to layer, going down:
        the head and the pooler have the full rate, the topmost layer this factor of it, the
        embeddings below L layers its (L + 1)-th power. Weights that several layers
        share have the rate of the topmost.
    warmup_ratio : float, default=0.1
        Share of all steps over which the learning rate rises from 0; afterwards it
        falls to 0 linearly.
    weight_decay : float, default=0.01
        Decoupled weight decay, not on biases and LayerNorm weights.
    pretrained_decay : float, default=0.0
        The λ of a decoupled decay towards the pretrained weights, w ← w - lr·λ·(w - w_pre), taken
        before each step of Adam: of the whole encoder, biases and LayerNorm too. What
        is new (head, poolings, re-initialised layers) is not pulled.
    mixout : float, default=0.0
        Probability in [0, 1) with which, at every use in training, all weights that leave an
        input neuron of a linear layer of the encoder are replaced by the pretrained
        ones. What is new is not mixed. With `mixout`, ``dropout=None`` means no dropout at all.
    bias_correction : bool, default=True
        False gives the optimizer of the first BERT code, which [2]_ and [3]_ found to be a
        cause of failed runs on few data.
    max_grad_norm : float, default=1.0
        Gradients are scaled down to this norm; None leaves them.
    dropout : float, default=None
        Replaces every dropout probability of the encoder and of the head. None leaves the
        encoder's own, or 0 where there is `mixout`.
    label_smoothing : float, default=0.0
        Share of the target mass spread evenly over all classes.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as in scikit-learn. Not for multi-label targets.
    early_stopping : bool, default=False
        Stop when the validation loss has not fallen for `n_iter_no_change` epochs, and
        go back to the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the training texts split off for early stopping, stratified, at least
        one text a class. Not used when `X_val` is passed to `fit`.
    n_iter_no_change : int, default=3
        Epochs that early stopping waits.
    warm_start : bool, default=False
        Go on from the weights of the last fit, with a new schedule.
    callbacks : list of skorch callbacks, default=None
        Passed to the skorch net that runs the training.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random in a fit. The global generators are left as they are.
    init_seed, order_seed : int, default=None
        Override the stream of the new parameters, and of the order of the texts.
    device : str, default="auto"
        ``"auto"`` is CUDA, then MPS, then the CPU.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        ``"auto"`` is bf16 on CUDA and fp32 elsewhere. On a CPU without bf16 instructions
        bf16 is much slower than fp32.
    verbose : int, default=0
        1 shows a progress bar, 2 skorch's table of epochs.

    Attributes
    ----------
    classes_ : array (n_classes,)
        Labels in sorted order; 0..n_labels-1 for multi-label targets.
    n_features_in_ : int
        1 for texts, 2 for pairs of texts.
    feature_names_in_ : array (n_columns,)
        Column names, where `X` was a data frame.
    n_iter_ : int
        Epochs trained.
    history_ : list of dict
        One row an epoch: ``epoch``, ``train_loss``, ``valid_loss`` where there is
        validation data, ``learning_rate`` (the schedule's, of the last step), ``dur`` (seconds).
    loss_curve_ : list of float
        Training loss of each epoch, in nats, dropout on.
    best_epoch_ : int
        1-based; of the last fit, the epoch with the lowest validation loss, or the last
        one where there is no validation data. Its weights are those that early stopping
        keeps; without early stopping the weights are always those of the last epoch.
    training_status_ : {"converged", "constant", "diverged", "underfit"}
        ``"constant"``: one class is predicted for all training texts; ``"diverged"``:
        the loss became non-finite; ``"underfit"``: the training loss is not below the
        entropy of the labels.
    layer_share_ : float array (n_chosen_layers,)
        Share of the pooled elements of the training texts that come from each of the
        chosen layers; sums to 1. NaN where the run diverged to weights that are none.

    See Also
    --------
    MaxPoolBERTRegressor : The same for real-valued targets.

    Notes
    -----
    With ``warmup_ratio`` above 0 the very first step has a learning rate of 0, as in
    the schedule of transformers.

    References
    ----------
    .. [1] Behrendt, Wagner, Harmeling (2025). MaxPoolBERT: Enhancing BERT Classification
       via Layer- and Token-Wise Aggregation. arXiv:2505.15696.
    .. [2] Mosbach, Andriushchenko, Klakow (2021). On the Stability of Fine-tuning BERT.
       ICLR 2021. arXiv:2006.04884.
    .. [3] Zhang, Wu, Katiyar, Weinberger, Artzi (2021). Revisiting Few-sample BERT
       Fine-tuning. ICLR 2021. arXiv:2006.05987.

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
        model: str | os.PathLike[str] = "bert-base-uncased",
        *,
        revision: str | None = None,
        layers: int | Sequence[int] = 3,
        layer_pooling: str = "max",
        token_pooling: str = "mha",
        n_heads: int = 4,
        head: str = "linear",
        layer_path: Sequence[int] | None = None,
        freeze_layers: int = 0,
        reinit_layers: int = 0,
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
        """Logits of texts.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts where the fit was on pairs.

        Returns
        -------
        float32 array (n, n_classes), or (n,) for two classes
            With two classes: the logit of ``classes_[1]`` less that of ``classes_[0]``.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> logit = clf.decision_function(["please refund my speaker", "my parcel is late"])
        >>> logit.shape, (logit > 0).tolist()  # above zero speaks for classes_[1]
        ((2,), [True, False])
        """
        logits = self._run(X, "output")
        if self._multilabel or logits.shape[1] > 2:
            return logits
        return logits[:, 1] - logits[:, 0]

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Logarithms of the probabilities that `predict_proba` gives.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts where the fit was on pairs.

        Returns
        -------
        float32 array (n, n_classes)
            Columns in the order of ``classes_``. Computed without going through the probabilities, so that none is
            minus infinity by rounding.

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
        logits = self._run(X, "output")
        if self._multilabel:
            return -np.logaddexp(0, -logits)
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts where the fit was on pairs.

        Returns
        -------
        float32 array (n, n_classes)
            Columns in the order of ``classes_``. Rows sum to 1, save for multi-label
            targets, where each label has a probability of its own.

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
        """The most probable class of each text.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts where the fit was on pairs.

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
        logits = self._run(X, "output")
        if self._multilabel:
            return (logits > 0).astype(int)
        return self.classes_[logits.argmax(axis=1)]

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
            raise ValueError("warm_start=True goes on with the last fit, whose targets were of another kind.")
        return make(y, weights, self.class_weight, checked["label_smoothing"], classes=self.classes_ if warm else None)

    def _adopt(self, task):
        self.classes_ = task.classes
        self._multilabel = task.multilabel
