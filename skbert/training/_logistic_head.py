"""A head from logistic regression on the vectors of the encoder as it is."""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skbert.training._stepper import Diverged
from skbert.training._vectors import vectors_of

# With more classes, the penalty of logistic regression becomes weaker.
_FEW_CLASSES = 8


def start_head(module, train, valid, objective, settings, notice):
    """Set the linear layer of `module` to a logistic regression on what it reads, in eval mode.

    Its inverse penalty C is 1 for up to 8 classes, and an eighth of their number for more: each class has its own
    weights, and the more classes there are, the smaller is its share of the loss against the penalty of these weights.
    With the pairs of SetFit, it is 1, as there.

    Parameters
    ----------
    module : PooledEncoder
        The module; only its linear layer changes.
    train : TextDataset
        Training data.
    valid : TextDataset or None
        Validation data, if there are any.
    objective : Objective
        The loss of classification.
    settings : FineTuneSettings
        Device and precision.
    notice : MemoryNotice
        Warns when memory runs out.

    Returns
    -------
    dict
        A row of the history.

    Raises
    ------
    Diverged
        The vectors are not finite.

    References
    ----------
    Kumar, Raghunathan, Jones, Ma, Liang (2022). Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution. ICLR 2022. arXiv:2202.10054.
    """
    began = time.perf_counter()
    module.eval()

    def read(batch, *prefix):
        return module.head.vectors(module.pool(batch, *prefix))

    vectors = vectors_of(train, read, settings, notice)
    if not np.isfinite(vectors).all():
        raise Diverged
    # Weights as they were given: a row of weight 2 counts like two rows, also against the penalty.
    weight = train.weight.double().numpy() * train.mean_weight
    data = vectors, train.target.numpy(), weight, module.head.n_outputs
    is_setfit = settings.contrastive_steps != 0 and settings.contrastive_pairs == "setfit"
    weights, bias = _of_labels(*data) if train.target.ndim == 2 else _of_classes(*data, is_setfit)
    layer = module.head.classifier
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.copy_(torch.from_numpy(bias))
    row = {"phase": "head", "train_loss": _loss(vectors, weights, bias, train, objective)}
    if valid is not None:
        row["valid_loss"] = _loss(vectors_of(valid, read, settings, notice), weights, bias, valid, objective)
    return row | {"dur": time.perf_counter() - began}


def _loss(vectors, weights, bias, dataset, objective):
    outputs = torch.from_numpy(vectors @ weights.T + bias)
    return float((objective.plain(outputs, dataset.target) * dataset.weight).sum() / dataset.weight.sum())


def _of_classes(vectors, target, weight, n_classes, is_setfit):
    """Weights (n_classes, width) and biases (n_classes,) for class indices (n,)."""
    present = np.unique(target[weight > 0])
    model = _fitted(vectors, target, weight, 1.0 if is_setfit else max(1.0, len(present) / _FEW_CLASSES))
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:
        # One logit for the second class, which the softmax reads as the difference of two.
        coefficients, intercepts = (np.concatenate([-half, half]) for half in (coefficients / 2, intercepts / 2))
    weights = np.zeros((n_classes, vectors.shape[1]))
    # A warm start may lack a class; its probability is that of half a text.
    bias = np.full(n_classes, np.log(0.5 / (weight.sum() + 0.5)))
    weights[present], bias[present] = coefficients, intercepts
    return weights, bias


def _of_labels(vectors, target, weight, n_labels):
    """Weights (n_labels, width) and biases (n_labels,) for indicators (n, n_labels): one regression per label."""
    columns = [_one_label(vectors, target[:, label].astype(int), weight) for label in range(n_labels)]
    return np.stack([weights for weights, _ in columns]), np.array([bias for _, bias in columns])


def _one_label(vectors, column, weight):
    if len(np.unique(column[weight > 0])) == 1:
        # No text, or every text, has the label; half a text more of each kind keeps the log-odds finite.
        share = (weight @ column + 0.5) / (weight.sum() + 1.0)
        return np.zeros(vectors.shape[1]), np.log(share / (1.0 - share))
    model = _fitted(vectors, column, weight)
    return model.coef_[0], model.intercept_[0]


def _fitted(vectors, target, weight, C=1.0):
    vectors, target, weight = vectors[weight > 0], target[weight > 0], weight[weight > 0]
    with warnings.catch_warnings():
        # The last bits of the optimum are not needed, and the run is judged by its predictions.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=C, max_iter=1000).fit(vectors, target, sample_weight=weight)
