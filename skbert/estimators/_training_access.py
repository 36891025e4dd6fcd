"""Methods of a trained estimator for the landscape: a fit that is watched, its weights, and the losses of texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skbert._shared import derive_seeds
from skbert.compute import resolve_device, resolve_precision
from skbert.estimators._labelled_texts import LabelledTexts
from skbert.estimators._parameters import checked_parameters
from skbert.estimators._tasks import with_callbacks
from skbert.text import check_texts, warn_of_cuts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from skbert.networks import PooledEncoder
    from skbert.training import TextDataset


@dataclass(frozen=True)
class FitPlan:
    """What a fit does differently from the one that its parameters describe; by default, nothing.

    Attributes
    ----------
    watch : callable or None
        See `fine_tune`.
    start : dict of str to array or None
        Weights to start from. Those whose name or shape the new module does not have are left out.
    other_order : int or None
        Seed of another order of the texts, another dropout and other pairs. New parameters, the validation split
        and a nested model keep their seeds.
    """

    watch: Callable[[str, dict], None] | None = None
    start: dict | None = None
    other_order: int | None = None

    def seeds(self, seeds):
        """The seeds of the fit, from those that its parameters give."""
        if self.other_order is None:
            return seeds
        return replace(derive_seeds(self.other_order), init=seeds.init, split=seeds.split, nested=seeds.nested)

    def set_start(self, module):
        """Set the weights of `module` from which training starts."""
        if self.start is None:
            return
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if name in self.start and self.start[name].shape == tuple(tensor.shape):
                    tensor.copy_(torch.as_tensor(self.start[name]))


class TrainingAccessMixin:
    """A fit that is watched, the weights of a fitted estimator, and what is needed to compute its losses."""

    @with_callbacks
    def fit_watched(
        self,
        X: ArrayLike,
        y: ArrayLike,
        watch: Callable[[str, dict[str, np.ndarray]], None] | None = None,
        *,
        start: dict[str, np.ndarray] | None = None,
        other_order: int | None = None,
    ) -> Self:
        """Fit as `fit` does, and show the weights at the start and after each epoch to a function.

        Parameters
        ----------
        X : as for `fit`
            Texts, or pairs of texts.
        y : as for `fit`
            Targets.
        watch : callable, default=None
            Called with the phase (``"start"``, ``"contrastive"``, ``"head"``, ``"epoch"``) and with all weights, a
            dict of name to array: before training, after the contrastive steps, after the logistic regression, and
            after each epoch. The arrays are copies.
        start : dict of str to array, default=None
            Weights to start from, as `watch` gets them. Weights of another shape are left out.
        other_order : int, default=None
            Seed of another order of texts, dropout and pairs. The start and the validation split stay the same.

        Returns
        -------
        self

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=2, random_state=0)
        >>> phases = []
        >>> clf = clf.fit_watched(texts, labels, lambda phase, weights: phases.append(phase))
        >>> phases
        ['start', 'epoch', 'epoch']
        """
        plan = FitPlan(watch, start, other_order)
        return self._fit(X, y, None, None, None, None, plan)

    def network_copy(self) -> PooledEncoder:
        """Return a copy of the fitted network, in eval mode on the device of the estimator.

        Frozen layers are those of the fit. What happens to the copy does not change the estimator.

        Returns
        -------
        PooledEncoder

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=1, random_state=0)
        >>> clf.fit(texts, labels).network_copy().n_layers
        6
        """
        check_is_fitted(self)
        module = self._fitted.with_weights(self._fitted.tensors()).module(resolve_device(self.device))
        module.freeze(self.freeze_layers)
        return module.eval()

    def precision_of(self, device: torch.device) -> str:
        """Return the number format of matrix products on `device`, as the parameter `precision` means it.

        Parameters
        ----------
        device : torch.device
            Where the estimator computes.

        Returns
        -------
        str

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> clf = MaxPoolBERTClassifier("minilm", device="cpu")
        >>> clf.precision_of(clf.compute_device())
        'fp32'
        """
        return resolve_precision(self.precision, device)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return all weights of the fitted network by name; they are not copied, so do not change them.

        Returns
        -------
        dict of str to tensor

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=1, random_state=0)
        >>> tuple(clf.fit(texts, labels).weights()["head.classifier.weight"].shape)
        (2, 384)
        """
        check_is_fitted(self)
        module = self._fitted.module(resolve_device(self.device))
        return {name: parameter.detach() for name, parameter in module.named_parameters()}

    def losses_of(self, X: ArrayLike, y: ArrayLike, name: str = "X") -> tuple[TextDataset, torch.nn.Module, float]:
        """Return what is needed to compute the losses of labelled texts with the fitted network.

        Parameters
        ----------
        X : as for `fit`
            Texts, or pairs of texts.
        y : as for `fit`
            Targets; labels must be those of the fit.
        name : str, default="X"
            How messages name `X`.

        Returns
        -------
        dataset : TextDataset
            Token ids and targets.
        objective : Objective
            The loss; ``objective.plain`` computes it for each text, without label smoothing.
        unit : float
            Squared unit of the targets: 1 for a classifier, the variance of the training targets for a regressor,
            whose losses are those of standardised targets.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=1, random_state=0)
        >>> dataset, objective, unit = clf.fit(texts, labels).losses_of(texts, labels)
        >>> dataset.target.tolist()
        [0, 0, 1, 1]
        """
        check_is_fitted(self)
        texts = check_texts(X, type(self).__name__)
        self._check_same_columns(texts, self._fitted.blueprint.n_columns, self._fitted.blueprint.column_names, name)
        y = self._as_target(y, "y")
        check_consistent_length(texts.first, y)
        weight = np.ones(len(texts))
        task = self._make_task(y, weight, checked_parameters(self), warm=True)
        target = replace(task.encode(y, "y"), weight=weight)
        dataset = LabelledTexts(texts, target, weight).tokenized(self._fitted.tokenizer, self._fitted.max_length)
        warn_of_cuts(dataset.tokens.n_cut, len(texts), self._fitted.max_length)
        return dataset, task.objective, getattr(task, "scale", 1.0) ** 2

    def pretrained_weights(self) -> dict[str, torch.Tensor]:
        """Return the pretrained weights of the encoder, by their names in the fitted network.

        New parameters (the head, a learned pooling, re-initialised layers) are not among them.

        Returns
        -------
        dict of str to tensor

        Raises
        ------
        ModelNotFoundError
            The files of the encoder are no longer available.
        ValueError
            The files contain other weights than at the time of the fit.

        Examples
        --------
        >>> from skbert import MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=1, random_state=0)
        >>> weights = clf.fit(texts, labels).pretrained_weights()
        >>> any(name.startswith("head") for name in weights)
        False
        """
        check_is_fitted(self)
        module = self._fitted.module(resolve_device(self.device))
        return self._pretrained_by_name(self._fitted, module, self.reinit_layers, "A distance to the start needs")
