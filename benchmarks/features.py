"""How fast are mean-pooled features, compared with sentence-transformers and transformers on the same weights?

python -m benchmarks.features
"""

import numpy as np
from transformers import pipeline

from benchmarks._main import main
from benchmarks._table import missing
from benchmarks._texts import texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import LayerPoolFeaturizer
from skbert.encoder import minilm_folder

_MAX_LENGTH = 128
_SENTENCE = "sentence-transformers encode, batch 32"
_PIPELINE = "transformers pipeline, default"


def lines(options):
    texts = texts_for(options, 60 if options.quick else 500)
    folder = str(minilm_folder())
    sentence = _sentence_transformer(folder, texts)
    candidates = {precision: _featurizer(precision, texts) for precision in ("fp32", "bf16")}
    # Its result is left as it is, token by token: its user would have to write the pooling, which is not timed here.
    cut = {"truncation": True, "max_length": _MAX_LENGTH}
    extract = pipeline("feature-extraction", model=folder, device="cpu", tokenize_kwargs=cut)
    candidates[_PIPELINE] = lambda: extract(texts)
    if sentence is not None:
        candidates[_SENTENCE] = sentence
    seconds = alternate(candidates, options.repeats)
    for precision, target in (("fp32", 1.6), ("bf16", 5)):
        name = f"features, {precision}"
        if sentence is None:
            yield missing(name, _SENTENCE, "sentence-transformers", target)
            continue
        off = np.abs(candidates[precision]() - sentence()).max()
        note = f"unit vectors differ by at most {off:.1g}"
        yield ratio_line(name, _SENTENCE, seconds[precision], seconds[_SENTENCE], target, len(texts), note)
    yield ratio_line("features, fp32", _PIPELINE, seconds["fp32"], seconds[_PIPELINE], 4, len(texts))


def _featurizer(precision, texts):
    featurizer = LayerPoolFeaturizer(
        "minilm", max_length=_MAX_LENGTH, normalize=True, device="cpu", precision=precision
    )
    featurizer.fit(texts[:1])
    return lambda: featurizer.transform(texts)


def _sentence_transformer(folder, texts):
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = _MAX_LENGTH
    return lambda: model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)


if __name__ == "__main__":
    main(__doc__, lines)
