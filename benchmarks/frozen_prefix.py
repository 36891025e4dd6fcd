"""How much time is saved if frozen layers run once per text instead of at every step?

python -m benchmarks.frozen_prefix
"""

import numpy as np

from benchmarks._main import main
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import FeatureStore, MaxPoolBERTClassifier
from skbert.training import prefix_cache_limit

_CACHED, _UNCACHED, _ALL = "frozen layers run once per text", "frozen layers run at every step", "all layers trained"


def lines(options):
    texts, epochs = (texts_for(options, 32), 3) if options.quick else (texts_for(options, 96), 10)
    labels, curves = labels_for(texts), {}

    def fit(name, most_bytes, freeze_layers):
        # Every fit is measured as a first fit; a later one, over folds and seeds, would find the stored states.
        FeatureStore().clear()
        with prefix_cache_limit(most_bytes):
            clf = MaxPoolBERTClassifier(
                "minilm",
                layers=1,
                token_pooling="cls",
                freeze_layers=freeze_layers,
                max_epochs=epochs,
                random_state=0,
                device="cpu",
                precision="fp32",
            )
            curves[name] = clf.fit(texts, labels).loss_curve_

    seconds = alternate(
        {
            _CACHED: lambda: fit(_CACHED, 2**40, 4),
            _UNCACHED: lambda: fit(_UNCACHED, 0, 4),
            _ALL: lambda: fit(_ALL, 0, 0),
        },
        options.repeats,
    )
    off = np.abs(np.subtract(curves[_CACHED], curves[_UNCACHED])).max()
    name, n_examples = f"fine-tuning, freeze_layers=4, [CLS], {epochs} epochs", epochs * len(texts)
    note = f"loss curves differ by at most {off:.1g}"
    yield ratio_line(name, f"ours, {_UNCACHED}", seconds[_CACHED], seconds[_UNCACHED], 2, n_examples, note)
    yield ratio_line(name, f"ours, {_ALL}", seconds[_CACHED], seconds[_ALL], None, n_examples)


if __name__ == "__main__":
    main(__doc__, lines)
