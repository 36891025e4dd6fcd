"""How long does a loss surface take, and a product with the curvature matrix, compared with other libraries?

python -m benchmarks.landscape

The surfaces are timed on one row of 21 of their 441 points, because each point costs the same.
"""

import contextlib

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from benchmarks._main import main
from benchmarks._table import missing
from benchmarks._texts import texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import MaxPoolBERTClassifier
from skbert.encoder import minilm_folder
from skbert.landscape import LossMeter, TextLoss, as_tensors, curvature_of, difference, measure_surface

_N_CLASSES, _N_POINTS, _LONGEST = 6, 21, 128
_PADDED = "a loop over transformers, tokenised once, padded to the longest of 32"


class Silent:
    """No progress bar."""

    def update(self):
        pass


class Padded(nn.Module):
    """The same classifier in plain transformers: [CLS] of the last layer and a linear head, on padded batches."""

    def __init__(self, weights, texts, codes, *, longest=None, attention="sdpa"):
        super().__init__()
        folder = minilm_folder()
        self.encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation=attention)
        self.head = nn.Linear(self.encoder.config.hidden_size, _N_CLASSES)
        own = {name.replace("head.classifier", "head"): tensor for name, tensor in weights.items()}
        self.load_state_dict(own, strict=False)
        self.eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        padding = {"padding": True} if longest is None else {"padding": "max_length", "max_length": longest}
        self.batches = [
            {
                **tokenizer(texts[start : start + 32], truncation=True, return_tensors="pt", **padding),
                "labels": torch.tensor(codes[start : start + 32]),
            }
            for start in range(0, len(texts), 32)
        ]
        self.n_texts = len(texts)

    def loss_of(self, batch):
        """Mean cross-entropy of one batch."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        states = self.encoder(**inputs).last_hidden_state
        return nn.functional.cross_entropy(self.head(states[:, 0]), batch["labels"])

    def loss(self):
        """Mean cross-entropy of all texts."""
        with torch.inference_mode():
            total = sum(float(self.loss_of(batch)) * len(batch["labels"]) for batch in self.batches)
        return total / self.n_texts


def fitted(texts, codes, **parameters):
    """A classifier that moved its weights a little, and the weights from which it started."""
    start = {}
    model = MaxPoolBERTClassifier(
        "minilm", layers=1, token_pooling="cls", max_epochs=2, learning_rate=1e-4, random_state=0, device="cpu"
    ).set_params(**parameters)
    model.fit_watched(texts, codes, lambda phase, weights: start.update(weights) if phase == "start" else None)
    return model, as_tensors(start)


class OurRow:
    """One row of the surface."""

    def __init__(self, model, start, second, texts, codes, alphas, beta):
        self.meter = LossMeter(model, [(texts, codes, "X")])
        self.first = difference(model.weights(), start)
        self.arguments = start, model.weights(), second, alphas, [beta], list(self.first), Silent()

    def __call__(self):
        (row,) = measure_surface(self.meter, *self.arguments)
        return np.array([point[0].losses.mean(dtype=float) for point in row])


class LoopRow:
    """The same row as one writes it down: weights plus two multiples of directions, then all batches."""

    def __init__(self, padded, start, first, second, alphas, beta):
        self.padded, self.alphas, self.beta = padded, alphas, beta
        parameters = dict(padded.named_parameters())
        self.weights = []
        for name, tensor in start.items():
            parameter = parameters.get(name.replace("head.classifier", "head"))
            if parameter is not None:
                zero = torch.zeros_like(tensor)
                self.weights.append((parameter, tensor, first.get(name, zero), second.get(name, zero)))

    def __call__(self):
        losses = []
        for alpha in self.alphas:
            with torch.no_grad():
                for parameter, start, first, second in self.weights:
                    parameter.copy_(start + float(alpha) * first + self.beta * second)
            losses.append(self.padded.loss())
        return np.array(losses)


def lines(options):
    n_texts, n_points = (16, 3) if options.quick else (200, _N_POINTS)
    texts = texts_for(options, n_texts)
    codes = np.arange(n_texts) % _N_CLASSES
    yield from _surfaces(texts, codes, n_points, options)
    yield from _products(texts[:64], codes[:64], 2 if options.quick else 16, options)


def _surfaces(texts, codes, n_points, options):
    model, start = fitted(texts, codes)
    other, _ = fitted(texts, codes, random_state=1)
    second = difference(other.weights(), start)
    alphas, beta = np.linspace(-0.5, 1.5, n_points), 0.5
    first = difference(model.weights(), start)
    top, top_start = fitted(texts, codes, freeze_layers=4)
    top_second = {name: tensor for name, tensor in second.items() if name in difference(top.weights(), top_start)}
    runs = {
        "all": OurRow(model, start, second, texts, codes, alphas, beta),
        "top": OurRow(top, top_start, top_second, texts, codes, alphas, beta),
        "loop": LoopRow(Padded(model.weights(), texts, codes), start, first, second, alphas, beta),
    }
    plane = _peer_plane(model, other, start, texts, codes, 1 if options.quick else 2)
    if plane is not None:
        runs["plane"] = plane
    seconds = alternate(runs, options.repeats)
    off = np.abs(runs["all"]() - runs["loop"]()).max()
    note = f"{len(texts)} texts, {n_points} points; mean losses differ by at most {off:.1g}"
    yield ratio_line("loss surface, all layers", _PADDED, seconds["all"], seconds["loop"], 2.4, note=note)
    note = f"{len(texts)} texts, {n_points} points"
    yield ratio_line(
        "loss surface, top two layers", f"{_PADDED}, all layers", seconds["top"], seconds["loop"], 11, note=note
    )
    peer = f"loss-landscapes planar_interpolation, padded to {_LONGEST}"
    if plane is None:
        yield missing("loss surface, all layers", peer, "loss-landscapes", 8)
        return
    ours = [value / n_points for value in seconds["all"]]
    theirs = [value / plane.n_points for value in seconds["plane"]]
    yield ratio_line("loss surface, all layers, a point", peer, ours, theirs, 8, note=f"{len(texts)} texts")


def _peer_plane(model, other, start, texts, codes, steps):
    """Some points of the plane of loss-landscapes; None if it is not installed."""
    try:
        import loss_landscapes
        from loss_landscapes.metrics import Metric
    except ImportError:
        return None

    class Loss(Metric):
        def __call__(self, wrapper):
            return wrapper.modules[0].loss()

    class Plane:
        n_points = steps * steps

        def __init__(self):
            self.models = [
                Padded(weights, texts, codes, longest=_LONGEST) for weights in (start, model.weights(), other.weights())
            ]

        def __call__(self):
            return loss_landscapes.planar_interpolation(*self.models, Loss(), steps=steps, deepcopy_model=True)

    return Plane()


def _products(texts, codes, n, options):
    model, _ = fitted(texts, codes)
    loss = TextLoss(model, texts, codes)
    name = f"{n} products with the curvature matrix, {len(texts)} texts"
    runs = {kind: lambda kind=kind: curvature_of(loss, kind, 0, n, 0).trace for kind in ("ggn", "hessian")}
    peer = "hessian-eigenthings, exact Hessian, eager attention"
    with contextlib.suppress(ImportError):
        from hessian_eigenthings.algorithms.trace import hutchinson
        from hessian_eigenthings.operators import HessianOperator

        padded = Padded(model.weights(), texts, codes, attention="eager")
        operator = HessianOperator(padded, padded.batches, lambda module, batch: module.loss_of(batch))
        runs[peer] = lambda: hutchinson(operator, num_samples=n, seed=0).estimate
    if peer not in runs:
        yield missing(name, peer, "hessian-eigenthings", 2.5)
        return
    seconds = alternate(runs, options.repeats)
    traces = ", ".join(f"{kind}: trace {run():.4g}" for kind, run in runs.items())
    for kind, words in (("hessian", "Hessian by central differences"), ("ggn", "generalised Gauss-Newton")):
        yield ratio_line(f"{name}, {words}", peer, seconds[kind], seconds[peer], 2.5, note=traces)


if __name__ == "__main__":
    main(__doc__, lines)
