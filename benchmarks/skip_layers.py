"""How long does it take to read [CLS] for every contiguous span of skipped layers, compared with one forward per span?

python -m benchmarks.skip_layers
"""

import copy
import tempfile

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertConfig

from benchmarks._main import main
from benchmarks._table import Line
from benchmarks._texts import texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import LayerPoolFeaturizer
from skbert.encoder import minilm_folder

_NAIVE = "transformers, one padded forward per span, batch 32"


def spans(n_layers):
    return [range(start, stop) for start in range(n_layers) for stop in range(start + 1, n_layers + 1)]


class OneForwardASpan:
    """transformers with the skipped layers removed, batches of 32 padded to their longest text; tokenised once."""

    def __init__(self, folder, texts, skips):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model, self.skips = AutoModel.from_pretrained(folder).eval(), skips
        self.layers = list(self.model.encoder.layer)
        self.batches = [
            tokenizer(texts[start : start + 32], padding=True, truncation=True, return_tensors="pt")
            for start in range(0, len(texts), 32)
        ]

    def __call__(self):
        """[CLS] of the last layer (n_spans, n_texts, width)."""
        rows = []
        for skip in self.skips:
            self.model.encoder.layer = nn.ModuleList(m for i, m in enumerate(self.layers) if i not in skip)
            with torch.inference_mode():
                rows += [self.model(**batch).last_hidden_state[:, 0] for batch in self.batches]
        return torch.cat(rows).view(len(self.skips), -1, rows[0].shape[1]).numpy()


def lines(options):
    texts = texts_for(options, 40 if options.quick else 500)
    minilm = str(minilm_folder())
    yield from _measure(minilm, "6 layers, 21 spans (MiniLM)", {"fp32": 6, "bf16": 9}, texts, options)
    with tempfile.TemporaryDirectory() as folder:
        name = "12 layers, 78 spans (random, width 384)"
        yield from _measure(random_encoder(folder, minilm), name, {"fp32": 6.5, "bf16": 9}, texts, options)


def _measure(folder, name, targets, texts, options):
    featurizer = LayerPoolFeaturizer(folder, token_pooling="cls", device="cpu", precision="fp32").fit(texts)
    skips = spans(featurizer.count_layers())
    naive = OneForwardASpan(folder, texts, skips)
    candidates = {
        precision: _probed(featurizer, precision, texts, skips) for precision in targets if precision in _supported()
    }
    seconds = alternate({_NAIVE: naive, **candidates}, options.repeats)
    expected = naive()
    for precision, target in targets.items():
        if precision not in candidates:
            yield Line(f"skip spans, {name}, {precision}", _NAIVE, "x", target, None, "no bf16 instructions here")
            continue
        off = np.abs(candidates[precision]().swapaxes(0, 1) - expected).max()
        yield ratio_line(
            f"skip spans, {name}, {precision}",
            _NAIVE,
            seconds[precision],
            seconds[_NAIVE],
            target,
            note=f"{len(texts)} texts; vectors differ by at most {off:.1g}",
        )


def _probed(featurizer, precision, texts, skips):
    """A function that runs `featurizer` with all skips in `precision`; returns vectors (n_texts, n_spans, width)."""
    fitted = copy.copy(featurizer).set_params(precision=precision)
    return lambda: fitted.outputs_without_layers(texts, skips, lambda vectors: (vectors,))[0]


def _supported():
    # Emulated bf16 is many times slower than fp32, and so would be the whole benchmark.
    bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ("fp32", "bf16") if bf16 else ("fp32",)


def random_encoder(folder, like):
    """A random BERT of 12 layers and width 384 with the tokenizer of `like`."""
    tokenizer = AutoTokenizer.from_pretrained(like)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main(__doc__, lines)
