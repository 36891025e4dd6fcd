"""What the MaxPoolBERT estimators share: from checked input to a trained module and back to arrays."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_consistent_length

from skbert._shared import as_list, check_weights, derive_seeds, to_json
from skbert.compute import MemoryNotice, isolated, run_batches
from skbert.encoder import check_boundary, check_own_family, load_encoder, make_runner, resolve_path
from skbert.estimators._base import TextEstimator
from skbert.estimators._parameters import checked_parameters, fine_tune_settings
from skbert.estimators._validation_split import validation_split
from skbert.networks import PooledEncoder
from skbert.store import encoder_key
from skbert.text import check_texts, tokenize, warn_of_cuts
from skbert.training import ADVICE, TextDataset, fine_tune, training_status


class MaxPoolBERTBase(TextEstimator):
    """Base of `MaxPoolBERTClassifier` and `MaxPoolBERTRegressor`.

    A subclass says what its targets are: `_as_target` turns them into an array,
    `_make_task` says what is learned from them (see `skbert._targets`), and
    `_adopt` sets the attributes that follow from the task once the fit has succeeded.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def transform(self, X):
        """Pooled vectors of texts, as they go into the head.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts where the fit was on pairs.

        Returns
        -------
        float32 array (n, width)
            ``layer_pooling="concat"`` multiplies the encoder's width by the number of layers.
        """
        return self._run(X, "pooled")

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fine-tune the encoder and the new head on labelled texts.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,); or two columns, or a list of (a, b)
            Texts, or pairs of texts.
        y : array-like (n,), or (n, n_labels) of 0 and 1 for a multi-label classifier
            Targets.
        sample_weight : array-like (n,), default=None
            Weights. They stand, in expectation, for repeating rows; rows of weight 0 are left out.
        X_val, y_val, sample_weight_val
            Validation data, in the same forms. Their loss is recorded after every
            epoch, and with ``early_stopping=True`` they take the place of the random split.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Wrong input or a parameter out of its range.
        ModelNotFoundError
            The encoder is unknown, out of reach or damaged.
        OutOfMemoryError
            One single text does not fit into memory.
        """
        name = type(self).__name__
        device, precision = self._check_encoder_parameters()
        checked = checked_parameters(self)
        settings = fine_tune_settings(checked, device, precision, self.verbose)
        if y is None:
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        texts = check_texts(X, name)
        y = self._as_target(y, "y")
        check_consistent_length(texts.first, y)
        weights = check_weights(sample_weight, len(texts))
        # A row repeated zero times is a row that is not there.
        kept = np.flatnonzero(weights)
        if len(kept) < len(texts):
            texts, y, weights = texts.take(kept), y[kept], weights[kept]
        warm = self.warm_start and hasattr(self, "_fitted")
        task = self._make_task(y, weights, warm)
        train = (texts, task.encode(y, "y"), weights)
        seeds = derive_seeds(self.random_state, self.init_seed, self.order_seed)
        train, valid = self._split(train, task, X_val, y_val, sample_weight_val, seeds)
        if warm:
            fitted = self._model_to_go_on_with(texts)
        else:
            fitted = self._new_model(checked, task.n_outputs, seeds)
        module, notice = fitted.module(settings.device), MemoryNotice()
        self._freeze(module)
        if settings.layer_decay != 1.0:
            check_own_family(module.runner, "layer_decay")
        train_set, valid_set = self._datasets(train, valid, fitted)
        # The weights of a warm start are this estimator's own; nobody else has states of theirs.
        encoder = None if warm else encoder_key(fitted.facts, settings.precision)
        pretrained = self._pretrained_weights(fitted, module, settings)
        data = train_set, valid_set, task.objective
        result = fine_tune(module, *data, settings, seeds, notice, encoder=encoder, pretrained=pretrained)

        verdict = self._judge(module, train_set, task.objective, settings, notice, result)
        earlier = self.history_ if warm else []
        self._set_fitted(fitted, texts)
        self._adopt(task)
        self.history_ = earlier + [{**row, "epoch": row["epoch"] + len(earlier)} for row in result.history]
        self.loss_curve_ = [row["train_loss"] for row in self.history_]
        self.n_iter_ = len(self.history_)
        self.best_epoch_ = len(earlier) + result.best_epoch
        self.training_status_, self.layer_share_, advice = verdict
        if advice:
            warnings.warn(f"Fine-tuning failed ({self.training_status_}): {advice}", ConvergenceWarning, stacklevel=2)
        return self

    def _model_facts(self):
        """The parameters that shape the model, as JSON types."""
        names = ("revision", "layer_pooling", "token_pooling", "n_heads", "head", "reinit_layers", "max_length")
        facts = {name: to_json(getattr(self, name)) for name in (*names, "dropout")}
        indices = {name: as_list(getattr(self, name)) for name in ("layers", "layer_path")}
        # Whether there is mixout decides over the dropout of the model.
        return {"model": str(self.model), "mixout": bool(self.mixout), **indices, **facts}

    def _model_to_go_on_with(self, texts):
        """The model of the last fit, for ``warm_start``; ValueError if the parameters now ask for another."""
        self._check_same_columns_as_fitted(texts)
        asked, before = self._model_facts(), self._fitted.facts["asked"]
        changed = sorted(name for name in asked if asked[name] != before.get(name))
        if changed:
            raise ValueError(
                f"warm_start=True goes on with the model of the last fit, but {', '.join(changed)} changed since. "
                "Put the old value back, or set warm_start=False."
            )
        # A copy: should this fit fail, the last one still stands.
        return self._fitted.copy()

    def _new_model(self, checked, n_outputs, seeds):
        loaded = load_encoder(self.model, self.revision)
        path = resolve_path(self.layer_path, make_runner(loaded.model))
        encoder = loaded.copy_model(checked["dropout"], path)
        names = ("layer_pooling", "token_pooling", "n_heads", "head")
        head = {name: checked[name] for name in names}
        head |= {"n_outputs": n_outputs, "layers": self.layers, "head_dropout": checked["dropout"]}
        # Only the new parameters are drawn here: loading has locks of its own and must not wait inside this one.
        with isolated(seeds.init):
            module = PooledEncoder(encoder, **head)
            # After the head, so that a run with and one without start from the same head.
            module.reinitialise(checked["reinit_layers"])
        return self._fitted_model(loaded, module, head, asked=self._model_facts(), own_path=path)

    def _pretrained_weights(self, fitted, module, settings):
        """Weights of the encoder as they were pretrained, by name, without those drawn anew; {} if nobody asks.

        They are read from the model's own files, also in a warm start: a fitted estimator
        that carried them would be twice as large.
        """
        if not (settings.pretrained_decay or settings.mixout):
            return {}
        loaded = load_encoder(self.model, self.revision)
        if loaded.weights_sha256 != fitted.facts["weights_sha256"]:
            raise ValueError(
                f"pretrained_decay and mixout need the weights from which the first fit started, but {self.model!r} "
                "now holds others. Put them back, or set warm_start=False."
            )
        path = fitted.facts["own_path"]
        weights = (loaded.model if path is None else loaded.copy_model(path=path)).state_dict()
        fresh = {id(p) for part in module.fresh_parts(int(self.reinit_layers)) for p in part.parameters()}
        names = [name for name, p in module.encoder.named_parameters() if id(p) not in fresh]
        return {f"encoder.{name}": weights[name] for name in names}

    def _split(self, train, task, X_val, y_val, sample_weight_val, seeds):
        """Training and validation parts as (texts, target, weights); the latter may be None."""
        texts, target, weights = train
        if X_val is not None or y_val is not None:
            if X_val is None or y_val is None:
                raise ValueError("X_val and y_val must be given together.")
            valid_texts = check_texts(X_val, type(self).__name__)
            self._check_same_columns(valid_texts, texts.n_columns, texts.column_names, "X_val")
            y_val = self._as_target(y_val, "y_val")
            check_consistent_length(valid_texts.first, y_val)
            valid_weights = check_weights(sample_weight_val, len(valid_texts), "sample_weight_val")
            return train, (valid_texts, task.encode(y_val, "y_val"), valid_weights)
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        if not self.early_stopping:
            return train, None
        names = getattr(task, "classes", None)
        parts = validation_split(len(texts), target.strata, names, self.validation_fraction, seeds.split)
        return tuple((texts.take(rows), target.take(rows), weights[rows]) for rows in parts)

    def _freeze(self, module):
        """Freeze the first `freeze_layers` layers of `module`, and no others."""
        n_frozen, n_fresh, n_layers = int(self.freeze_layers), int(self.reinit_layers), module.runner.n_layers
        if n_frozen:
            check_boundary(module.runner, "freeze_layers", n_frozen, n_frozen)
        if n_frozen + n_fresh > n_layers:
            raise ValueError(
                f"freeze_layers={n_frozen} and reinit_layers={n_fresh} meet: the encoder runs {n_layers} layers, and a "
                "layer drawn anew must be trained. Lower one of them."
            )
        module.freeze(n_frozen)

    def _datasets(self, train, valid, fitted):
        """Tokenised training and validation data; one warning counts the texts of both that were cut."""
        datasets = []
        for part in (train, valid):
            if part is None:
                datasets.append(None)
                continue
            texts, target, weights = part
            weights = weights * target.weight
            if not weights.any():
                raise ValueError("class_weight and sample_weight together leave no sample with a weight above zero.")
            tokens = tokenize(texts, fitted.tokenizer, fitted.max_length)
            weight = torch.from_numpy((weights / weights.mean()).astype(np.float32))
            datasets.append(TextDataset(tokens, torch.from_numpy(target.values), weight))
        present = [dataset for dataset in datasets if dataset is not None]
        n_cut = sum(dataset.tokens.n_cut for dataset in present)
        warn_of_cuts(n_cut, sum(map(len, present)), fitted.max_length, stacklevel=3)
        return datasets

    def _judge(self, module, train_set, objective, settings, notice, result):
        """Look at the trained model once more over its own training texts: status, shares of the layers, advice."""
        outputs = torch.empty(len(train_set), module.classifier.out_features)
        wins = torch.zeros(len(module.layers), dtype=torch.float64)
        for indices, (output, won) in run_batches(
            module.forward_with_wins,
            train_set.tokens,
            settings.device,
            settings.precision,
            notice,
            train_set.prefixes,
        ):
            outputs[indices] = output.float().cpu()
            wins += won.cpu().double()
        status, loss, reference = training_status(
            objective, outputs, train_set.target, train_set.weight, result.diverged
        )
        advice = ADVICE.get(status, "").format(loss=loss, reference=reference, epoch=len(result.history))
        return status, (wins / wins.sum()).numpy(), advice
