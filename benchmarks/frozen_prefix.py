"""What does it save to run frozen layers once a text, and not at every step?

python -m benchmarks.frozen_prefix
"""

import warnings

import numpy as np

from benchmarks._common import alternate, parse, report, texts_and_labels
from skbert import MaxPoolBERTClassifier
from skbert.training import _prefix


def main():
    options = parse(__doc__)
    warnings.simplefilter("ignore")
    texts, labels = texts_and_labels(options)
    texts, labels = texts[:96], labels[:96]
    curves = {}

    def fit(name, limit, **parameters):
        _prefix.MAX_BYTES = limit
        clf = MaxPoolBERTClassifier(
            "minilm", layers=1, token_pooling="cls", max_epochs=10, learning_rate=1e-4, random_state=0, **parameters
        )
        curves[name] = clf.fit(texts, labels).loss_curve_

    candidates = {
        "all layers trained": lambda: fit("all layers trained", 0),
        "4 of 6 layers frozen, run at every step": lambda: fit("uncached", 0, freeze_layers=4),
        "4 of 6 layers frozen, run once a text": lambda: fit("cached", 2**40, freeze_layers=4),
    }
    seconds = alternate(candidates, options.repeats)
    difference = np.abs(np.array(curves["cached"]) - curves["uncached"]).max()
    report(
        "frozen prefix: 96 texts, 10 epochs, [CLS]",
        seconds,
        "4 of 6 layers frozen, run at every step",
        options.output,
        note=f"; loss curves differ by {difference:.1e}",
    )


if __name__ == "__main__":
    main()
