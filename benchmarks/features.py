"""How fast are mean-pooled features, compared with sentence-transformers and transformers on the same weights?

The line against matrix products says which share of the time is left if nothing but the linear layers is computed.

python -m benchmarks.features
"""

from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from transformers import pipeline

from benchmarks._apart import Apart
from benchmarks._main import main
from benchmarks._table import missing
from benchmarks._texts import texts_for
from benchmarks._timing import ratio_line
from skbert import LayerPoolFeaturizer
from skbert.encoder import load_encoder, minilm_folder

_MAX_LENGTH = 128
_SENTENCE = "sentence-transformers encode, batch 32"
_PIPELINE = "transformers pipeline, default"
_PRODUCTS = "the matrix products of its linear layers alone"
# Rows of a product: enough for the speed of a large one.
_BLOCK = 4096


def lines(options):
    texts = texts_for(options, 60 if options.quick else 500)
    folder = str(minilm_folder())
    has_sentence = find_spec("sentence_transformers") is not None
    makers = {precision: partial(_featurizer, precision, texts) for precision in ("fp32", "bf16")}
    makers |= {_PIPELINE: partial(_pipeline, folder, texts), _PRODUCTS: partial(_products, texts)}
    if has_sentence:
        makers[_SENTENCE] = partial(_sentence_transformer, folder, texts)
    with Apart(makers) as candidates:
        seconds = candidates.alternate(options.repeats)
        vectors = {name: candidates.result(name) for name in makers if name not in (_PIPELINE, _PRODUCTS)}
    for precision, target in (("fp32", 1.6), ("bf16", 5)):
        name = f"features, {precision}"
        if not has_sentence:
            yield missing(name, _SENTENCE, "sentence-transformers", target)
            continue
        off = np.abs(vectors[precision] - vectors[_SENTENCE]).max()
        note = f"unit vectors differ by at most {off:.1g}"
        yield ratio_line(name, _SENTENCE, seconds[precision], seconds[_SENTENCE], target, len(texts), note)
    yield ratio_line("features, fp32", _PIPELINE, seconds["fp32"], seconds[_PIPELINE], 4, len(texts))
    yield ratio_line("features, fp32", _PRODUCTS, seconds["fp32"], seconds[_PRODUCTS], 0.85, len(texts))


def _featurizer(precision, texts):
    featurizer = LayerPoolFeaturizer(
        "minilm", max_length=_MAX_LENGTH, normalize=True, device="cpu", precision=precision
    )
    featurizer.fit(texts[:1])
    return lambda: featurizer.transform(texts)


def _pipeline(folder, texts):
    cut = {"truncation": True, "max_length": _MAX_LENGTH}
    extract = pipeline("feature-extraction", model=folder, device="cpu", tokenize_kwargs=cut)

    def run():
        # The result is left as it is, token by token: a user would have to write the pooling, which is not timed here.
        extract(texts)

    return run


def _products(texts):
    """What the linear layers of all layers multiply, for as many tokens, with random numbers and all threads."""
    loaded = load_encoder("minilm")
    config, encoded = loaded.model.config, loaded.tokenizer(texts, truncation=True, max_length=_MAX_LENGTH)
    n_tokens, width = sum(map(len, encoded["input_ids"])), config.hidden_size
    # Query, key and value together; output of attention; the two linear layers after it.
    shapes = [(width, 3 * width), (width, width), (width, config.intermediate_size), (config.intermediate_size, width)]
    weights = [torch.randn(shape) for shape in shapes]
    states = {shape[0]: torch.randn(_BLOCK, shape[0]) for shape in shapes}

    def multiply():
        for _ in range(config.num_hidden_layers):
            for start in range(0, n_tokens, _BLOCK):
                for weight in weights:
                    states[len(weight)][: n_tokens - start] @ weight

    return multiply


def _sentence_transformer(folder, texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = _MAX_LENGTH
    return lambda: model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)


if __name__ == "__main__":
    main(__doc__, lines)
