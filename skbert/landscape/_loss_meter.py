"""Losses of texts at any point in the space of weights, computed on a copy of the network."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from skbert.compute import MemoryNotice, run_batches
from skbert.encoder import check_boundary
from skbert.landscape._groups import depths_by_name
from skbert.training import cache_prefixes, occurring_rows


@dataclass(frozen=True)
class Measured:
    """Losses and errors of one set of texts at one point.

    Attributes
    ----------
    losses : float32 array (n_texts,)
        Loss of each text, without label smoothing.
    errors : float32 array (n_texts,)
        For classes, 1 for a wrong prediction and 0 for a right one; else the squared error in the unit of ``y``.
    """

    losses: np.ndarray
    errors: np.ndarray


class LossMeter:
    """Computes the losses of fixed texts at points in the space of weights.

    It works on a copy of the network, so the estimator never changes. The texts are tokenised once, and always in the
    same batches. Layers below all that moves run only once.

    Parameters
    ----------
    reader : MaxPoolBERTClassifier or MaxPoolBERTRegressor
        The fitted estimator.
    labelled : list of tuples (X, y, name)
        The sets of texts, with their targets and how messages name them.

    Attributes
    ----------
    depths : dict of str to int
        Depth of each weight by its name; see `depths_by_name`.
    """

    def __init__(self, reader, labelled):
        self._module = reader.network_copy()
        self._device = reader.compute_device()
        self._precision = reader.precision_of(self._device)
        self._notice = MemoryNotice()
        found = [reader.losses_of(X, y, name) for X, y, name in labelled]
        self._objective, self._unit = found[0][1:]
        self._stack = ExitStack()
        self._module.requires_grad_(True)
        table = self._module.encoder.get_input_embeddings().weight
        self._table = next(name for name, p in self._module.named_parameters() if p is table)
        # Only rows of the embedding table whose tokens occur can change a loss.
        vocabulary = self._stack.enter_context(occurring_rows(self._module, [dataset for dataset, *_ in found]))
        self._rows, self._datasets = vocabulary.rows, vocabulary.datasets
        self._parameters = dict(self._module.named_parameters())
        self.depths = depths_by_name(self._module)
        self._prefixes = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def runner(self):
        """Runs the layers of the copy."""
        return self._module.runner

    @property
    def targets(self):
        """Encoded targets of each set of texts; arrays (n_texts,)."""
        return [dataset.target.numpy() for dataset in self._datasets]

    def of_texts(self, weights):
        """The part of `weights`, a dict of name to tensor, that can change a loss; on the device of the network."""
        found = {}
        for name, tensor in weights.items():
            if name in self._parameters:
                if name == self._table and self._rows is not None:
                    tensor = tensor[self._rows.to(tensor.device)]
                found[name] = tensor.to(self._device)
        return found

    @torch.no_grad()
    def set(self, weights):
        """Set the weights of the copy, a dict of name to tensor from `of_texts`; others stay as they are."""
        for name, tensor in weights.items():
            self._parameters[name].copy_(tensor)

    @torch.no_grad()
    def set_between(self, start, end, alpha, second=None, beta=0.0):
        """Set the weights to ``start + alpha (end - start) + beta second``: exactly `start` at 0 and `end` at 1."""
        for name, tensor in end.items():
            # Its formula depends on alpha, so that both ends are exact; start + alpha * (end - start) is not.
            torch.lerp(start[name], tensor, alpha, out=self._parameters[name].data)
        if beta:
            for name, tensor in second.items():
                self._parameters[name].add_(tensor, alpha=beta)

    def keep_below(self, names):
        """From now on only the weights `names` change: run all layers below them once, for all points that follow."""
        n_still = max(0, min((self.depths[name] for name in names), default=self._module.n_layers + 1) - 1)
        if n_still and not self._can_divide(n_still):
            n_still = 0
        self._module.freeze(n_still)
        self._module.eval()
        self._prefixes = cache_prefixes(self._module, self._datasets, self._device, self._precision, self._notice)

    def _can_divide(self, n_still):
        try:
            check_boundary(self._module.runner, "layers", n_still, n_still)
        except (ValueError, NotImplementedError):
            return False
        return True

    def measure(self):
        """The `Measured` of each set of texts, at the weights as they are."""
        return [self._measure(dataset) for dataset in self._datasets]

    def _measure(self, dataset):
        losses, errors = np.empty(len(dataset), np.float32), np.empty(len(dataset), np.float32)
        batches = run_batches(
            self._module.forward, dataset.tokens, self._device, self._precision, self._notice, self._prefixes
        )
        for rows, output in batches:
            output, target = output.float().cpu(), dataset.target[rows]
            loss = self._objective.plain(output, target)
            losses[rows] = loss.numpy()
            if target.is_floating_point():
                errors[rows] = loss.numpy() * self._unit
            else:
                errors[rows] = (self._objective.decide(output) != target).numpy()
        return Measured(losses, errors)
