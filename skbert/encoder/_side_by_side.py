"""Weights that one matrix product uses together: they lie next to each other in memory, so that joining them is free.

Query, key and value are three linear layers with weights of their own, which keep their names and shapes. To multiply
with all at once, the weights must be joined, and that is two copies per layer and step if they lie anywhere in memory.
"""

from __future__ import annotations

import torch

from skbert.encoder._way import few_launches


def lay_side_by_side(runner, device):
    """Lay the weights that one product uses together next to each other, where launches are what costs time.

    The parameters stay the same objects with the same values. A move to another device lays them apart again.

    Parameters
    ----------
    runner : LayerRunner
        The runner of an encoder that is on `device`.
    device : torch.device
        Where the encoder will run.
    """
    if not few_launches(device) or not runner.owns_forward:
        return
    for index in range(runner.n_layers):
        for name in ("weight", "bias"):
            parameters = [getattr(linear, name) for linear in runner.joined_linears(index)]
            # Layers that share their weights come here more than once.
            if not parameters or _lie_in_a_row(parameters):
                continue
            # Memory that is taken inside the inference mode of a caller could not be trained later.
            with torch.inference_mode(False):
                joined = torch.cat([parameter.data for parameter in parameters])
            for parameter, part in zip(parameters, joined.split([len(p) for p in parameters]), strict=True):
                parameter.data = part


def join(tensors):
    """The `tensors` one after the other along their first dimension; without a copy if they lie so in memory."""
    return _Joined.apply(*tensors) if _lie_in_a_row(tensors) else torch.cat(tensors)


def _lie_in_a_row(tensors):
    storage, place = tensors[0].untyped_storage().data_ptr(), tensors[0].storage_offset()
    for tensor in tensors:
        if tensor.untyped_storage().data_ptr() != storage or tensor.storage_offset() != place:
            return False
        if not tensor.is_contiguous():
            return False
        place += tensor.numel()
    return True


class _Joined(torch.autograd.Function):
    """A view of tensors that lie in a row; each gets its part of the gradient."""

    @staticmethod
    def forward(ctx, *tensors):
        """See the class."""
        ctx.sizes = [len(tensor) for tensor in tensors]
        first = tensors[0].detach()
        return first.as_strided((sum(ctx.sizes), *first.shape[1:]), first.stride(), first.storage_offset())

    @staticmethod
    def backward(ctx, gradient):
        """See the class."""
        return gradient.split(ctx.sizes)
