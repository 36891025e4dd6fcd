"""How long does it take to read [CLS] under every contiguous span of skipped layers, against one forward a span?

python -m benchmarks.skip_layers
"""

import tempfile
import warnings

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertConfig

from benchmarks._common import alternate, parse, report, texts_and_labels
from skbert import MaxPoolBERTClassifier
from skbert._skip_outputs import SkippingEstimator
from skbert.encoder._load import _minilm_folder


def spans(n_layers):
    return [range(start, stop) for start in range(n_layers) for stop in range(start + 1, n_layers + 1)]


class OneForwardASpan:
    """transformers on a cut layer list, batches of 32 padded to their longest text; tokenised once."""

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


def measure(title, folder, options):
    texts, _ = texts_and_labels(options)
    clf = MaxPoolBERTClassifier(
        folder, layers=1, token_pooling="cls", max_epochs=1, device="cpu", precision="fp32", random_state=0
    ).fit(texts[:8], [0, 1] * 4)
    weights = clf._fitted.module(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as fine_tuned:
        # The same weights for both: transformers reads what the fit left.
        weights.encoder.save_pretrained(fine_tuned)
        AutoTokenizer.from_pretrained(folder).save_pretrained(fine_tuned)
        skips = spans(weights.runner.n_layers)
        bf16 = MaxPoolBERTClassifier(**{**clf.get_params(), "precision": "bf16"})
        bf16.__dict__.update({k: v for k, v in vars(clf).items() if k not in clf.get_params()})
        naive = OneForwardASpan(fine_tuned, texts, skips)
        candidates = {
            "transformers, one padded forward a span": naive,
            "skbert fp32": lambda: SkippingEstimator(clf).outputs(texts, skips),
        }
        if options.bf16:
            candidates["skbert bf16"] = lambda: SkippingEstimator(bf16).outputs(texts, skips)
        hidden = naive()
        # Outputs, not hidden states, are what both must agree in.
        logits = hidden @ weights.classifier.weight.detach().numpy().T + weights.classifier.bias.detach().numpy()
        expected = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        for name, estimator in (("fp32", clf), ("bf16", bf16))[: 2 if options.bf16 else 1]:
            _, found = SkippingEstimator(estimator).outputs(texts, skips)
            print(f"  largest difference of a log-probability, {name}: {np.abs(found - expected).max():.1e}")
        report(
            f"{title}: {len(texts)} texts, {len(skips)} spans",
            alternate(candidates, options.repeats),
            "transformers, one padded forward a span",
            options.output,
        )


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


def main():
    options = parse(__doc__)
    options.bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not options.bf16:
        print("  this processor has no instructions for bf16, which is left out")
    warnings.simplefilter("ignore")
    minilm = str(_minilm_folder())
    measure("skip layers of 6", minilm, options)
    with tempfile.TemporaryDirectory() as folder:
        measure("skip layers of 12", random_encoder(folder, minilm), options)


if __name__ == "__main__":
    main()
