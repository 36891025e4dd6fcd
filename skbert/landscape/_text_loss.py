"""The mean loss of fixed texts as a function of one vector of all trained weights, with its derivatives."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from skbert.compute import MemoryNotice, token_budget
from skbert.landscape._groups import depths_by_name
from skbert.text import batches_by_length, collate
from skbert.training import CrossEntropy, cache_prefixes, occurring_rows

# Central differences step by this share of the length of the weights; in float32, 1e-2 and 1e-4 serve nearly as well.
_STEP = 1e-3


class TextLoss:
    """Mean loss of labelled texts, without dropout and in float32, at any value of the trained weights.

    Parameters
    ----------
    reader : MaxPoolBERTClassifier or MaxPoolBERTRegressor
        The fitted estimator; it is not changed.
    X, y : as for `fit`
        The texts and their targets.
    weights : dict of str to tensor, default=None
        Where to be; None is where the estimator is.

    Attributes
    ----------
    size : int
        Number of trained weights that can change the loss: of the embedding table, only rows that occur in the texts.
    names : list of tuples (str, int)
        Name and number of weights of each tensor, in the order in which they stand in the vector.
    rows : int64 tensor or None
        Rows of the embedding table that are in the vector; None for all rows.
    depths : int8 tensor (size,)
        Depth of each weight: 0 the embeddings, d layer d, L + 1 all above the layers.
    n_depths : int
        Number of depths.
    weights : float32 tensor (size,)
        The weights themselves.
    """

    def __init__(self, reader, X, y, weights=None):
        self._device = reader.compute_device()
        self._module = reader.network_copy()
        dataset, self._objective, _ = reader.losses_of(X, y)
        if weights is not None:
            self._module.load_state_dict(weights, strict=False)
        # The copy is not used for anything else, so its table is never put back.
        self._context = occurring_rows(self._module, [dataset])
        vocabulary = self._context.__enter__()
        self._dataset, self.rows = vocabulary.datasets[0], vocabulary.rows
        self._prefixes = cache_prefixes(self._module.eval(), [self._dataset], self._device, "fp32", MemoryNotice())
        depth_of = depths_by_name(self._module)
        trained = [(name, p) for name, p in self._module.named_parameters() if p.requires_grad]
        self._parameters = [p for _, p in trained]
        self.names = [(name, p.numel()) for name, p in trained]
        self.depths = torch.cat([torch.full((p.numel(),), depth_of[name], dtype=torch.int8) for name, p in trained])
        self.n_depths = self._module.n_layers + 2
        self.size = len(self.depths)
        rows = batches_by_length(self._dataset.tokens.lengths, token_budget(self._device))
        self._batches = [(one, collate(self._dataset.tokens, one).to(self._device)) for one in rows]
        self.weights = torch.nn.utils.parameters_to_vector(self._parameters).detach().clone()
        self._outputs = None

    def _outputs_of(self, rows, batch):
        prefix = () if self._prefixes is None else (self._prefixes.of(self._dataset.tokens, rows, self._device),)
        return self._module(batch, *prefix).float()

    @torch.no_grad()
    def _set(self, vector):
        place = 0
        for parameter in self._parameters:
            n = parameter.numel()
            parameter.copy_(vector[place : place + n].view_as(parameter))
            place += n

    @contextmanager
    def _moved_by(self, step):
        """Inside the block, the weights are a step (size,) from where they were; None is no step."""
        if step is None:
            yield
            return
        self._set(self.weights + step)
        try:
            yield
        finally:
            self._set(self.weights)

    def _losses(self, output, rows):
        return self._objective.plain(output, self._dataset.target[rows].to(output.device))

    @torch.no_grad()
    def loss(self, step=None):
        """Mean loss, at a step (size,) from the weights."""
        with self._moved_by(step):
            losses = (self._losses(self._outputs_of(rows, batch), rows) for rows, batch in self._batches)
            return sum(float(part.double().sum()) for part in losses) / len(self._dataset)

    def gradient(self, step=None):
        """Gradient (size,) of the mean loss, at a step (size,) from the weights."""
        with self._moved_by(step):
            return self._backward(lambda output, rows: self._losses(output, rows).sum() / len(self._dataset))

    def _backward(self, scalar):
        """Gradient (size,) of the sum over batches of ``scalar(outputs, rows)``."""
        total = torch.zeros(self.size, device=self._device)
        for rows, batch in self._batches:
            with torch.enable_grad():
                value = scalar(self._outputs_of(rows, batch), rows)
            # The last layer may not use all its parameters, such as the key bias when only [CLS] is read.
            parts = torch.autograd.grad(value, self._parameters, allow_unused=True, materialize_grads=True)
            total += torch.cat([part.reshape(-1) for part in parts])
        return total

    @torch.no_grad()
    def _all_outputs(self, step=None):
        """Outputs (n_texts, k), at a step from the weights."""
        found = {}
        with self._moved_by(step):
            for rows, batch in self._batches:
                found.update(zip(rows.tolist(), self._outputs_of(rows, batch), strict=True))
        return torch.stack([found[row] for row in range(len(self._dataset))])

    def _along(self, vector, function):
        """The derivative of ``function(step)`` along `vector`, by central differences."""
        size = _STEP * self.weights.norm() / vector.norm()
        return (function(size * vector) - function(-size * vector)) / (2 * size)

    def hessian_product(self, vector):
        """The Hessian times `vector` (size,), by central differences of gradients."""
        return self._along(vector, self.gradient)

    def ggn_product(self, vector):
        """The generalised Gauss-Newton matrix times `vector` (size,).

        The Jacobian product is a central difference of outputs, so no second derivative is needed.
        """
        moved = self._along(vector, self._all_outputs)
        if self._outputs is None:
            self._outputs = self._all_outputs()
        pull = _output_curvature(self._objective, self._outputs, moved) / len(self._dataset)
        return self._backward(lambda output, rows: (output * pull[rows]).sum())

    def product(self, kind):
        """The product with the matrix `kind`, "ggn" or "hessian"."""
        return {"ggn": self.ggn_product, "hessian": self.hessian_product}[kind]


def _output_curvature(objective, outputs, moved):
    """The Hessian of each text's loss with respect to its outputs, times `moved`; (n_texts, k)."""
    if isinstance(objective, CrossEntropy):
        p = outputs.softmax(dim=1)
        return p * moved - p * (p * moved).sum(dim=1, keepdim=True)
    return 2.0 * moved
