"""The gradients of one batch, computed in as many parts as memory requires."""

from __future__ import annotations

import torch

from skbert.compute import TorchStream, free_cached_memory, is_out_of_memory, keep_freed_memory
from skbert.errors import OutOfMemoryError
from skbert.training._weight_copies import WeightCopies

_REMEDY = "Lower max_length, raise freeze_layers, or use a smaller encoder."


def too_large(module, settings, longest=None, remedy=_REMEDY):
    """Message of an `OutOfMemoryError`: sizes, and what to change; `longest` is the longest text in tokens."""
    n_parameters = sum(p.numel() for p in module.parameters())
    text = "" if longest is None else f", and the longest text of the batch has {longest} tokens"
    return (
        f"Out of memory on {settings.device} with one text at a time: {n_parameters / 1e6:.1f} million parameters take "
        f"about {n_parameters * 16 / 2**30:.2f} GiB with gradients and optimizer state{text}. {remedy}"
    )


class MicroBatches:
    """Computes gradients in parts that become smaller when memory runs out.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    settings : FineTuneSettings
        How to train.
    size : str
        Name of the setting that holds the number of texts (or pairs) per step.
    seed : int
        Seed of dropout.
    notice : MemoryNotice
        Warns when memory runs out.
    remedy : str, default=None
        What to do if there is not enough memory for a single text; None is the advice for fine-tuning.
    """

    def __init__(self, module, settings, size, seed, notice, remedy=None):
        self.module, self.settings, self.notice = module, settings, notice
        self.remedy = remedy or _REMEDY
        self.name_of_size = size
        # At first, a batch is one part, even one of pairs, which has two texts for each.
        self.size = 2 * getattr(settings, size)
        self.stream = TorchStream(seed, settings.device)
        self.copies = WeightCopies(module, settings)
        keep_freed_memory(settings.device)

    def backward(self, rows, forward, loss_of_part=None, loss_of_all=None):
        """Compute the gradients of the sum of two losses; return their value and the outputs of all parts.

        The second loss needs the pooled vectors of the whole batch. If there are several parts, each part runs twice
        (Gao et al. 2021, "gradient caching"): first without gradients, to have all vectors and the gradient of the
        loss with respect to them; then, with the same dropout, to pass this gradient on. The result is the same.

        Parameters
        ----------
        rows : Rows
            The batch.
        forward : callable
            Takes a part of the rows; returns their pooled vectors and their outputs, which may be None.
        loss_of_part : callable, default=None
            Takes the outputs and the rows of a part; returns the share of the part in the first loss.
        loss_of_all : callable, default=None
            Takes the pooled vectors of all rows; returns the second loss.

        Raises
        ------
        OutOfMemoryError
            There is not enough memory for a single text.
        """
        with self.stream:
            start = self.stream.state()
            while True:
                self.module.zero_grad(set_to_none=True)
                try:
                    return self._accumulate(list(rows.parts(self.size)), forward, loss_of_part, loss_of_all)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if self.size == 1 or len(rows) == 1:
                        raise self._give_up(rows) from error
                # Outside the except block, because inside it the traceback would keep the graph in memory.
                self._halve(len(rows))
                self.stream.set_state(start)

    def _accumulate(self, parts, forward, loss_of_part, loss_of_all):
        with self.copies.in_use():
            return self._all_parts(parts, forward, loss_of_part, loss_of_all)

    def _all_parts(self, parts, forward, loss_of_part, loss_of_all):
        total, outputs, cached = 0.0, [], None
        if loss_of_all is not None and len(parts) > 1:
            total, cached = self._cache_gradients(parts, forward, loss_of_all)
        for place, part in enumerate(parts):
            pooled, output = forward(part)
            losses = [] if loss_of_part is None else [loss_of_part(output, part)]
            if loss_of_all is not None and cached is None:
                losses.append(loss_of_all(pooled))
            total += sum(float(loss.detach()) for loss in losses)
            if cached is not None:
                # Its gradient with respect to `pooled` is the cached one.
                losses.append((pooled.float() * cached[place]).sum())
            (losses[0] if len(losses) == 1 else sum(losses)).backward()
            outputs.append(None if output is None else output.detach())
        return total, outputs

    def _cache_gradients(self, parts, forward, loss_of_all):
        """The loss of all vectors, and its gradient with respect to those of each part."""
        start = self.stream.state()
        with torch.no_grad():
            vectors = [forward(part)[0].float() for part in parts]
        self.stream.set_state(start)
        pooled = torch.cat(vectors).requires_grad_()
        loss = loss_of_all(pooled)
        (gradient,) = torch.autograd.grad(loss, pooled)
        return float(loss.detach()), gradient.split([len(part) for part in parts])

    def _halve(self, n_rows):
        self.module.zero_grad(set_to_none=True)
        free_cached_memory(self.settings.device)
        self.size = max(1, min(self.size, n_rows) // 2)
        self.notice(
            f"Out of memory on {self.settings.device}: training continues in smaller micro-batches (now "
            f"{self.size}); the effective {self.name_of_size} stays {getattr(self.settings, self.name_of_size)}."
        )

    def _give_up(self, rows):
        self.module.zero_grad(set_to_none=True)
        return OutOfMemoryError(too_large(self.module, self.settings, rows.longest, self.remedy))
