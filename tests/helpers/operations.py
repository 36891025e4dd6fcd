"""Counts what torch is asked to do: on a GPU, nearly every operation that is no view is one launch of a kernel.

    python -m tests.helpers.operations

prints the counts of one training step on 16 short texts and of the prediction of 32, for a random encoder in the shape
of MiniLM (6 layers of width 384), in both ways, and of the same by transformers on padded batches. Nothing runs on a
GPU. But each count is also taken with attention and dropout as one operation each, as CUDA has kernels for them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from transformers import AutoTokenizer, BertForSequenceClassification

from skbert import MaxPoolBERTClassifier
from skbert.encoder import _attention, _dropout
from skbert.encoder._way import WAYS, forced_way
from tests.helpers.tiny import WORDS, write_tiny

READINGS = {
    "[CLS]": {"layers": 1, "token_pooling": "cls"},
    "mean": {"layers": 1, "token_pooling": "mean"},
    "MaxPoolBERT": {},
}
_BATCH_SIZE = 16


class CountOperations(TorchDispatchMode):
    """Counts the operations of a block by name. Views and marks for a profiler are left out, for they compute nothing.

    Operations are counted as they are dispatched below autograd, so those of a backward pass count too. A composite
    operation counts as its parts. Modes belong to a thread: what another thread computes is not counted.

    Attributes
    ----------
    found : Counter of str
        How often each operation was dispatched.
    """

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count `function`, or its parts if it is only a name for them, and run it."""
        kwargs = kwargs or {}
        if function is torch.ops.aten.dropout.default and not args[2]:
            # That of torch does nothing either, but its decomposition in Python copies.
            return args[0]
        # In inference mode, composite operations arrive whole. The mode is off in here, so it is entered again.
        with self:
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        if function.namespace != "profiler" and not _is_view(function):
            self.found[function.overloadpacket.__name__] += 1
        return function(*args, **kwargs)

    @property
    def total(self):
        """Number of all operations counted."""
        return self.found.total()


def _is_view(function):
    # The second is a view of what nobody else holds, so its schema does not say so.
    return function.is_view or function.overloadpacket.__name__ == "_unsafe_view"


class _OneKernel(torch.autograd.Function):
    """Scaled dot-product attention that counts as one operation in each direction, as the kernels of CUDA would."""

    @staticmethod
    def forward(ctx, q, k, v, mask, dropout_p):
        """See the class."""
        ctx.mask, ctx.dropout_p, ctx.random = mask, dropout_p, torch.get_rng_state()
        ctx.save_for_backward(q, k, v)
        _count("attention")
        if mask is not None and mask.dtype == torch.bool:
            # torch makes another mask of it, which is added to the scores.
            _count("where")
        with _disable_current_modes():
            return _kernel(q, k, v, mask, dropout_p)

    @staticmethod
    def backward(ctx, gradient):
        """See the class; computes the forward again, with the same random numbers."""
        _count("attention_backward")
        with _disable_current_modes(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.set_rng_state(ctx.random)
            inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            out = _kernel(*inputs, ctx.mask, ctx.dropout_p)
            return *torch.autograd.grad(out, inputs, gradient), None, None


_kernel = F.scaled_dot_product_attention


def _count(name):
    for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack():
        if isinstance(mode, CountOperations):
            mode.found[name] += 1


@contextmanager
def kernels_of_cuda():
    """Attention and dropout as one operation each inside the block, where the CPU has several."""

    def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **others):
        return _OneKernel.apply(q, k, v, attn_mask, dropout_p)

    def dropout(x, p=0.5, training=True, inplace=False):
        return torch.native_dropout(x, p, True)[0] if training and p else x

    with (
        patch.object(F, "scaled_dot_product_attention", attention),
        patch.object(F, "dropout", dropout),
        patch.object(_attention, "_attend_within", attention),
        patch.object(_dropout, "few_launches", lambda device: True),
    ):
        yield


def short_texts(n=32):
    """`n` texts of 4 to 13 words, and labels of two classes."""
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, size=size)) for size in generator.integers(4, 14, size=n)]
    return texts, np.arange(n) % 2


def write_minilm_shaped(folder):
    """Write a random BERT with the layers, width and heads of MiniLM to `folder`; returns the path as str."""
    return write_tiny(folder, "bert", n_layers=6, width=384, n_heads=12)


def our_step(folder, **parameters):
    """Counts of one training step of the classifier on 16 texts: those that one more epoch of one batch adds."""
    found = []
    # The first fit of a process does things once, such as reading the weights, so it is not compared.
    for n_epochs in (1, 2, 3):
        clf = _classifier(folder, max_epochs=n_epochs, **parameters)
        with CountOperations() as operations:
            clf.fit(*(rows[:_BATCH_SIZE] for rows in short_texts()))
        found.append(operations.found)
    return found[2] - found[1]


def our_prediction(folder, **parameters):
    """Counts of the prediction of 32 texts, which are one batch."""
    texts, labels = short_texts()
    clf = _classifier(folder, max_epochs=1, **parameters).fit(texts[:_BATCH_SIZE], labels[:_BATCH_SIZE])
    with CountOperations() as operations:
        clf.predict(texts)
    return operations.found


def _classifier(folder, **parameters):
    return MaxPoolBERTClassifier(folder, batch_size=_BATCH_SIZE, random_state=0, device="cpu", **parameters)


def their_step(folder):
    """Counts of one step of transformers on the 16 texts of `our_step`, padded, with a fused AdamW."""
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    texts, labels = short_texts()
    inputs = _padded(folder, texts[:_BATCH_SIZE])
    # The first step creates the state of the optimizer.
    for _ in range(2):
        with CountOperations() as operations:
            loss = model(**inputs, labels=torch.from_numpy(labels[:_BATCH_SIZE])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return operations.found


def their_prediction(folder):
    """Counts of the forward of transformers on the 32 texts of `our_prediction`, padded."""
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    inputs = _padded(folder, short_texts()[0])
    with torch.inference_mode(), CountOperations() as operations:
        model(**inputs)
    return operations.found


def _padded(folder, texts):
    return AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")


def _table(folder):
    yield "| | reading | frozen layers | training step | with kernels of CUDA | prediction | with kernels of CUDA |"
    yield "|---|---|---|---|---|---|---|"
    for way in WAYS:
        for reading, parameters in READINGS.items():
            for n_frozen in (0, 3):
                with forced_way(way):
                    counts = _in_both_kernels(our_step, our_prediction, folder, freeze_layers=n_frozen, **parameters)
                yield f"| {way} | {reading} | {n_frozen} | {' | '.join(counts)} |"
    yield f"| transformers | [CLS] | 0 | {' | '.join(_in_both_kernels(their_step, their_prediction, folder))} |"


def _in_both_kernels(step, prediction, folder, **parameters):
    found = []
    for count in (step, prediction):
        for kernels in (nullcontext, kernels_of_cuda):
            with kernels():
                found.append(str(count(folder, **parameters).total()))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(*_table(write_minilm_shaped(made)), sep="\n")
