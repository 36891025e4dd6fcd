"""How fast is fine-tuning on a GPU, how busy is the GPU, and does its memory grow over fits?

python -m benchmarks.gpu

A random BERT of 12 layers and width 768, texts of 64 tokens, batch 16, bf16. Speed does not depend on the values of
the weights, so no pretrained weights are needed.
"""

import gc
import tempfile
import time
from importlib.util import find_spec

import numpy as np
import torch
from transformers import BertConfig, BertModel

from benchmarks._main import run
from benchmarks._options import parse
from benchmarks._peers import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, fit_trainer
from benchmarks._table import Line, missing
from benchmarks._texts import labels_for, texts_of
from benchmarks._timing import alternate, ratio_line
from skbert import MaxPoolBERTClassifier
from skbert.encoder import load_encoder

_TRAINER = "HF Trainer, bf16"


def lines(options, device="cuda", n_layers=12, width=768):
    name = f"fine-tuning on a GPU, bf16, batch 16, 64 tokens, {n_layers} layers of width {width}"
    if device == "cuda" and not torch.cuda.is_available():
        yield Line(name, _TRAINER, "x", None, None, "no GPU on this machine")
        return
    n_texts, epochs = (32, 1) if options.quick else (512, 2)
    texts = texts_of(np.full(n_texts, 64))
    labels = labels_for(texts)
    with tempfile.TemporaryDirectory() as folder:
        _save_random_bert(folder, n_layers, width)

        def fit(n=n_texts):
            MaxPoolBERTClassifier(
                folder,
                layers=1,
                token_pooling="cls",
                head="pooler",
                max_length=MAX_LENGTH,
                max_epochs=epochs,
                batch_size=BATCH_SIZE,
                learning_rate=LEARNING_RATE,
                random_state=0,
                device=device,
                precision="bf16",
            ).fit(texts[:n], labels[:n])

        if find_spec("accelerate") is None:
            fit()
            yield missing(name, _TRAINER, "accelerate, which HF Trainer needs,")
        else:
            theirs = {_TRAINER: lambda: fit_trainer(folder, texts, labels, epochs, device=device, bf16=True)}
            seconds = alternate({"ours": fit, **theirs}, options.repeats)
            yield ratio_line(name, _TRAINER, seconds["ours"], seconds[_TRAINER], None, epochs * n_texts)
        if device != "cuda":
            return
        yield Line(name, "share of the fit in which the GPU is busy", "%", None, *_busy_share(fit))
        yield Line("20 fits on a GPU", "growth of memory after the second", "MiB", 1, *_growth(lambda: fit(32)))


def _save_random_bert(folder, n_layers, width):
    tokenizer = load_encoder("minilm", None).tokenizer
    config = BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=n_layers,
        hidden_size=width,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _busy_share(fit):
    """Percent of the time of a fit in which at least one kernel or copy runs; and how it was measured."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        start = time.perf_counter()
        fit()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    # Marks of whole steps are on the time line of the GPU too, but they also cover gaps in which nothing runs.
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    )
    busy = _covered(spans) / 1e6
    return 100 * busy / seconds, f"{busy:.2f} s of {seconds:.2f} s under the profiler, which slows the CPU's part"


def _covered(spans):
    """Total length of the union of sorted intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _growth(fit):
    """MiB that stay allocated after 18 more fits; and how it was measured."""
    allocated = []
    for _ in range(20):
        fit()
        gc.collect()
        torch.cuda.synchronize()
        allocated.append(torch.cuda.memory_allocated() / 2**20)
    return allocated[-1] - allocated[
        1
    ], f"{allocated[1]:.1f} MiB allocated after fit 2, {allocated[-1]:.1f} after fit 20"


def _extend(parser):
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu only shows that the code runs")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768, help="a multiple of 64")


if __name__ == "__main__":
    given = parse(__doc__, _extend)
    run([lambda options: lines(options, given.device, given.layers, given.width)], given)
