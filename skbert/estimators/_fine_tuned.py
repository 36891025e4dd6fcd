"""The shared part of the MaxPoolBERT estimators: from checked input to a trained module and back to arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_consistent_length

from skbert._shared import check_targets_given, check_weights, derive_seeds, warn
from skbert.compute import MemoryNotice, isolated
from skbert.encoder import check_boundary, check_own_family, load_encoder, make_runner, resolve_path
from skbert.estimators._base import TextEstimator
from skbert.estimators._labelled_texts import LabelledTexts
from skbert.estimators._nested_model import encoder_for, encoder_with, is_nested
from skbert.estimators._parameters import (
    checked_parameters,
    dropout_asked,
    fine_tune_settings,
    head_of_unit_vectors,
    model_asked,
    warn_of_defaults,
)
from skbert.estimators._tasks import CallbackSupportMixin, EpochTasks, with_callbacks
from skbert.estimators._training_access import FitPlan, TrainingAccessMixin
from skbert.estimators._validation_split import validation_split
from skbert.networks import PooledEncoder
from skbert.text import check_texts, warn_of_cuts
from skbert.training import fine_tune, judge

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self


class MaxPoolBERTBase(TrainingAccessMixin, CallbackSupportMixin, TextEstimator):
    """Base of `MaxPoolBERTClassifier` and `MaxPoolBERTRegressor`.

    A subclass defines its targets: `_as_target` turns them into an array, `_make_task`
    defines what is learned from them (see `_targets`), and `_adopt` sets the attributes
    that depend on the task after the fit has succeeded.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the pooled vectors of texts, which are the input of the head.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float32 array (n, width)
            The width is the width of the encoder; ``layer_pooling="concat"`` multiplies it by the number of layers.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> clf.transform(["please refund my speaker"]).shape
        (1, 384)
        >>> clf.get_feature_names_out()[:2].tolist()
        ['maxpoolbertclassifier0', 'maxpoolbertclassifier1']
        """
        return self._run(X, "pooled")

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fine-tune the encoder and the new head on labelled texts.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,); or two columns, or a list of (a, b)
            Texts, or pairs of texts.
        y : array-like (n,), or (n, n_labels) of 0 and 1 for a multi-label classifier
            Targets.
        sample_weight : array-like (n,), default=None
            Weights. In expectation, a weight has the same effect as repeated rows; rows of weight 0 are left out.
        X_val : as `X`, default=None
            Validation data. Their loss is recorded after every epoch. With ``early_stopping=True`` they replace the
            random split.
        y_val : as `y`, default=None
            Targets of `X_val`.
        sample_weight_val : array-like (n_val,), default=None
            Weights of the validation data in the validation loss.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, or a parameter is out of its range.
        ModelNotFoundError
            The encoder is unknown, not available or damaged.
        OutOfMemoryError
            There is not enough memory for a single text.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=5, random_state=0)
        >>> clf = clf.fit(texts, labels)
        >>> clf.training_status_, clf.n_iter_, clf.classes_.tolist()
        ('converged', 5, ['order', 'refund'])
        >>> clf.loss_curve_[-1] < clf.loss_curve_[0]
        True

        With validation data, early stopping keeps the epoch with the lowest loss on them:

        >>> clf = clf.set_params(early_stopping=True)
        >>> clf = clf.fit(texts, labels, X_val=["a lost parcel", "refund it"], y_val=["order", "refund"])
        >>> sorted(clf.history_[0])
        ['dur', 'epoch', 'learning_rate', 'phase', 'train_loss', 'valid_loss']
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, FitPlan())

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, plan):
        """Fit by a `FitPlan`; the other parameters are those of `fit`."""
        device, precision = self._check_encoder_parameters()
        checked = checked_parameters(self)
        settings = fine_tune_settings(checked, device, precision)
        warm = checked["warm_start"] and hasattr(self, "_fitted")

        train, task, labels = self._read(X, y, sample_weight, checked, warm)
        given = {"X": train.texts.rows(), "y": labels}
        if sample_weight is not None:
            given["metadata"] = {"sample_weight": train.weight}
        seeds = plan.seeds(derive_seeds(self.random_state, self.init_seed, self.order_seed))
        train, valid = self._split(train, task, X_val, y_val, sample_weight_val, checked, seeds)
        if warm:
            fitted = self._model_to_go_on_with(train.texts, checked)
        else:
            fitted = self._new_model(checked, task.n_outputs, train.texts, seeds)
            plan.set_start(fitted.module(settings.device))
        tasks = self._tasks(given, checked, task, fitted, train.texts)
        settings = replace(settings, callbacks=[*settings.callbacks, ("tasks", tasks)])
        result, verdict = self._train(fitted, train, valid, task.objective, checked, settings, seeds, warm, plan.watch)
        self._set_fitted(fitted, train.texts)
        self._adopt(task)
        self._record(result, verdict, warm)
        tasks.end()
        if verdict.advice:
            warn(f"Fine-tuning failed ({verdict.status}): {verdict.advice}", ConvergenceWarning)
        return self

    # ------------------------------------------------------------- from input to checked data

    def _read(self, X, y, sample_weight, checked, warm):
        """The training texts as `LabelledTexts`, the task that their targets make, and the targets as an array."""
        name = type(self).__name__
        check_targets_given(y, name)
        texts = check_texts(X, name)
        y = self._as_target(y, "y")
        check_consistent_length(texts.first, y)
        weight = check_weights(sample_weight, len(texts))
        # A weight means repetition, so a row of weight 0 is left out.
        kept = np.flatnonzero(weight)
        if len(kept) < len(texts):
            texts, y, weight = texts.take(kept), y[kept], weight[kept]
        task = self._make_task(y, weight, checked, warm)
        train = LabelledTexts(texts, task.encode(y, "y"), weight)
        if checked.get("head_init") == "logistic" and train.n_classes() == 1:
            raise ValueError(
                "head_init='logistic' needs texts of at least two classes, but all training texts that have a weight "
                "are of one class."
            )
        return train, task, y

    def _split(self, train, task, X_val, y_val, sample_weight_val, checked, seeds):
        """Training texts and validation texts; the validation texts may be None."""
        if X_val is not None or y_val is not None:
            if X_val is None or y_val is None:
                raise ValueError("X_val and y_val must be given together.")
            texts = check_texts(X_val, type(self).__name__)
            self._check_same_columns(texts, train.texts.n_columns, train.texts.column_names, "X_val")
            y_val = self._as_target(y_val, "y_val")
            check_consistent_length(texts.first, y_val)
            weight = check_weights(sample_weight_val, len(texts), "sample_weight_val")
            return train, LabelledTexts(texts, task.encode(y_val, "y_val"), weight)
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        # Without epochs, there is nothing to stop, so no texts are held out.
        if not checked["early_stopping"] or not checked["max_epochs"]:
            return train, None
        names = getattr(task, "classes", None)
        fraction = checked["validation_fraction"]
        rows = validation_split(len(train), train.target.strata, names, fraction, seeds.split)
        return tuple(map(train.take, rows))

    def _tasks(self, given, checked, task, fitted, texts):
        """The tasks of this fit, for callbacks of scikit-learn."""

        def finished(tensors):
            twin = type(self).__new__(type(self))
            twin._set_fitted(fitted.with_weights(tensors), texts)
            twin._adopt(task)
            return vars(twin)

        return EpochTasks(self, checked["max_epochs"], given, finished)

    # ------------------------------------------------------------- the model that is trained

    def _new_model(self, checked, n_outputs, texts, seeds):
        """A pretrained encoder with new poolings and a new head, as a `FittedModel` that is not trained yet."""
        loaded = encoder_for(self, texts, seeds.nested)
        path, dropout = resolve_path(self.layer_path, make_runner(loaded.model)), dropout_asked(checked)
        encoder = loaded.copy_model(dropout, path)
        arguments = {name: checked[name] for name in ("layer_pooling", "token_pooling", "n_heads", "head")}
        arguments |= {"n_outputs": n_outputs, "layers": self.layers, "head_dropout": dropout}
        arguments["unit_vectors"] = head_of_unit_vectors(checked)
        # Only the new parameters are initialised under this lock; loading has its own locks and must stay outside.
        with isolated(seeds.init):
            module = PooledEncoder(encoder, **arguments)
            # After the head, so that runs with and without re-initialised layers start from the same head.
            module.reinitialise(checked["reinit_layers"])
        warn_of_defaults(self, module.runner.width, len(texts))
        return self._fitted_model(loaded, module, arguments, texts, asked=model_asked(self), own_path=path)

    def _model_to_go_on_with(self, texts, checked):
        """The model of the last fit, for ``warm_start``; ValueError if the parameters now define another model."""
        self._check_same_columns_as_fitted(texts)
        asked, before = model_asked(self), self._fitted.blueprint.asked
        changed = sorted(name for name in asked if asked[name] != before.get(name))
        if changed:
            raise ValueError(
                f"warm_start=True continues with the model of the last fit, but {', '.join(changed)} changed since. "
                "Set the old value again, or set warm_start=False."
            )
        # A copy, so that the last fit remains if this fit fails.
        fitted = self._fitted.copy(texts)
        if head_of_unit_vectors(checked):
            fitted.blueprint = fitted.blueprint.for_unit_vectors()
        return fitted

    @staticmethod
    def _freeze(module, checked):
        """Freeze the first `freeze_layers` layers of `module`, and unfreeze all others."""
        n_frozen, n_fresh, n_layers = checked["freeze_layers"], checked["reinit_layers"], module.runner.n_layers
        if n_frozen:
            check_boundary(module.runner, "freeze_layers", n_frozen, n_frozen)
        if n_fresh == "all":
            n_fresh = n_layers
        if n_frozen + n_fresh > n_layers:
            raise ValueError(
                f"freeze_layers={n_frozen} and reinit_layers={checked['reinit_layers']!r} overlap: the encoder has "
                f"{n_layers} layers, and "
                "a re-initialised layer must be trained. Lower one of them."
            )
        module.freeze(n_frozen)

    def _pretrained_weights(self, fitted, module, checked):
        """Pretrained weights of the encoder by name, without re-initialised layers; {} if no parameter needs them.

        They are read from the files of the model, also in a warm start: if a fitted
        estimator contained them, it would be twice as large.
        """
        if not (checked["pretrained_decay"] or checked["mixout"]):
            return {}
        return self._pretrained_by_name(fitted, module, checked["reinit_layers"], "pretrained_decay and mixout need")

    def _pretrained_by_name(self, fitted, module, n_fresh, needed):
        """Pretrained weights of the encoder by name, without re-initialised layers; `needed` begins the message."""
        if is_nested(self.model):
            loaded = encoder_with(fitted.blueprint.weights_sha256)
        else:
            loaded = load_encoder(self.model, self.revision)
        if loaded is None or loaded.weights_sha256 != fitted.blueprint.weights_sha256:
            raise ValueError(
                f"{needed} the weights from which the first fit started, but they are gone, or {self.model!r} now "
                "contains others. Restore them, or fit again with warm_start=False."
            )
        path = fitted.blueprint.own_path
        weights = (loaded.model if path is None else loaded.copy_model(path=path)).state_dict()
        fresh = {id(p) for part in module.fresh_parts(n_fresh) for p in part.parameters()}
        names = [name for name, p in module.encoder.named_parameters() if id(p) not in fresh]
        return {f"encoder.{name}": weights[name] for name in names}

    # ------------------------------------------------------------- training and its results

    def _train(self, fitted, train, valid, objective, checked, settings, seeds, warm, watch):
        """Train the module of `fitted` in place; return the `FineTuneResult` and its `Verdict`."""
        module, notice = fitted.module(settings.device), MemoryNotice()
        self._freeze(module, checked)
        if settings.layer_decay != 1.0:
            check_own_family(module.runner, "layer_decay")
        if settings.contrastive_steps != 0 and not module.trains_vectors:
            raise ValueError(
                "contrastive_steps train what the pooled vectors depend on, but "
                f"freeze_layers={checked['freeze_layers']} freezes all of it: the highest hidden state that is read is "
                f"{max(module.layers)}. Lower freeze_layers, read higher layers, or set contrastive_steps=0."
            )
        train_set, valid_set = self._tokenized(train, valid, fitted)
        # The weights of a warm start belong to this estimator alone, so no other fit can use their states.
        encoder = None if warm else fitted.encoder_key(settings.precision)
        pretrained = self._pretrained_weights(fitted, module, checked)
        data = train_set, valid_set, objective
        result = fine_tune(module, *data, settings, seeds, notice, encoder=encoder, pretrained=pretrained, watch=watch)
        return result, judge(module, train_set, objective, settings, notice, result)

    @staticmethod
    def _tokenized(train, valid, fitted):
        """Training and validation data as `TextDataset`; one warning counts the cut texts of both."""
        train = train.tokenized(fitted.tokenizer, fitted.max_length)
        valid = None if valid is None else valid.tokenized(fitted.tokenizer, fitted.max_length)
        present = [train] if valid is None else [train, valid]
        n_cut = sum(dataset.tokens.n_cut for dataset in present)
        warn_of_cuts(n_cut, sum(map(len, present)), fitted.max_length)
        return train, valid

    def _record(self, result, verdict, warm):
        """Set the attributes that describe the training."""
        earlier, n_before = (self.history_, self.n_iter_) if warm else ([], 0)
        self.history_ = earlier + [
            {**row, "epoch": row["epoch"] + n_before} if "epoch" in row else row for row in result.history
        ]
        epochs = [row for row in self.history_ if row.get("phase", "fine_tuning") == "fine_tuning"]
        self.loss_curve_ = [row["train_loss"] for row in epochs]
        self.n_iter_ = len(epochs)
        self.best_epoch_ = n_before + result.best_epoch
        self.training_status_, self.layer_share_ = verdict.status, verdict.layer_share
