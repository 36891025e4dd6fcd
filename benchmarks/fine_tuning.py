"""How fast is fine-tuning, compared with HF Trainer and skorch with the same model, batch size and epochs?

python -m benchmarks.fine_tuning

Every candidate is timed as a user calls it: from texts and labels to a trained model, with weights from disk or from
a cache, as the library does by default.
"""

from functools import partial
from importlib.util import find_spec

from benchmarks._apart import Apart
from benchmarks._main import main
from benchmarks._peers import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, fit_skorch, fit_trainer
from benchmarks._table import missing
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import ratio_line
from skbert import MaxPoolBERTClassifier
from skbert.encoder import minilm_folder

_TRAINER = "HF Trainer with DataCollatorWithPadding"
_SKORCH = f"skorch after its HF tokenizer, max_length {MAX_LENGTH}"
_SAME_MODEL = {"layers": 1, "token_pooling": "cls", "head": "pooler"}
_NAME, _IN_BF16 = "fine-tuning, fp32, batch 16", "fine-tuning, bf16, batch 16"


def lines(options):
    texts = texts_for(options, 32 if options.quick else 240)
    labels, folder, epochs = labels_for(texts), str(minilm_folder()), 2
    fits = {
        "same model": partial(_fit, texts, labels, epochs, **_SAME_MODEL),
        "defaults": partial(_fit, texts, labels, epochs),
        "same model, bf16": partial(_fit, texts, labels, epochs, precision="bf16", **_SAME_MODEL),
        "defaults, bf16": partial(_fit, texts, labels, epochs, precision="bf16"),
        _SKORCH: partial(fit_skorch, folder, texts, labels, epochs),
    }
    has_trainer = find_spec("accelerate") is not None
    if has_trainer:
        fits[_TRAINER] = partial(fit_trainer, folder, texts, labels, epochs)
    # A fit needs nothing to be prepared, so its maker just returns it.
    with Apart({name: partial(_timed, fit) for name, fit in fits.items()}) as candidates:
        seconds = candidates.alternate(options.repeats)
    n_examples = epochs * len(texts)
    same, same_in_bf16 = seconds["same model"], seconds["same model, bf16"]
    pooled = "with max-pooling and attention"
    if has_trainer:
        yield ratio_line(_NAME, _TRAINER, same, seconds[_TRAINER], 3, n_examples)
        yield ratio_line(f"{_NAME}, {pooled}", _TRAINER, seconds["defaults"], seconds[_TRAINER], None, n_examples)
        yield ratio_line(_IN_BF16, f"{_TRAINER}, fp32", same_in_bf16, seconds[_TRAINER], 6, n_examples)
    else:
        yield missing(_NAME, _TRAINER, "accelerate, which HF Trainer needs,", 3)
    yield ratio_line(_IN_BF16, "ours in fp32", same_in_bf16, same, 2.2, n_examples)
    both = seconds["defaults, bf16"], seconds["defaults"]
    yield ratio_line(f"{_IN_BF16}, {pooled}", "ours in fp32", *both, None, n_examples)
    yield ratio_line(_NAME, _SKORCH, seconds["same model"], seconds[_SKORCH], 5, n_examples)


def _fit(texts, labels, epochs, precision="fp32", **parameters):
    MaxPoolBERTClassifier(
        "minilm",
        max_length=MAX_LENGTH,
        max_epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        random_state=0,
        device="cpu",
        precision=precision,
        **parameters,
    ).fit(texts, labels)


def _timed(fit):
    def run():
        # The model is dropped, so that its memory is free in the next round.
        fit()

    return run


if __name__ == "__main__":
    main(__doc__, lines)
