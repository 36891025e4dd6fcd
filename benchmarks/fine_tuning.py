"""How fast is fine-tuning, compared with HF Trainer and skorch with the same model, batch size and epochs?

python -m benchmarks.fine_tuning

Every candidate is timed as a user calls it: from texts and labels to a trained model, with weights from disk or from
a cache, as the library does by default.
"""

from importlib.util import find_spec

from benchmarks._main import main
from benchmarks._peers import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, fit_skorch, fit_trainer
from benchmarks._table import missing
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import MaxPoolBERTClassifier
from skbert.encoder import minilm_folder

_TRAINER = "HF Trainer with DataCollatorWithPadding"
_SKORCH = f"skorch after its HF tokenizer, max_length {MAX_LENGTH}"
_SAME_MODEL = {"layers": 1, "token_pooling": "cls", "head": "pooler"}
_NAME = "fine-tuning, fp32, batch 16"


def lines(options):
    texts = texts_for(options, 32 if options.quick else 240)
    labels, folder, epochs = labels_for(texts), str(minilm_folder()), 2

    def ours(**parameters):
        MaxPoolBERTClassifier(
            "minilm",
            max_length=MAX_LENGTH,
            max_epochs=epochs,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            random_state=0,
            device="cpu",
            precision="fp32",
            **parameters,
        ).fit(texts, labels)

    candidates = {
        "same model": lambda: ours(**_SAME_MODEL),
        "defaults": ours,
        _SKORCH: lambda: fit_skorch(folder, texts, labels, epochs),
    }
    has_trainer = find_spec("accelerate") is not None
    if has_trainer:
        candidates[_TRAINER] = lambda: fit_trainer(folder, texts, labels, epochs)
    seconds = alternate(candidates, options.repeats)
    n_examples = epochs * len(texts)
    if has_trainer:
        same = seconds["same model"]
        yield ratio_line(_NAME, _TRAINER, same, seconds[_TRAINER], 2.6, n_examples)
        name = f"{_NAME}, with max-pooling and attention"
        yield ratio_line(name, _TRAINER, seconds["defaults"], seconds[_TRAINER], None, n_examples)
    else:
        yield missing(_NAME, _TRAINER, "accelerate, which HF Trainer needs,", 2.6)
    yield ratio_line(_NAME, _SKORCH, seconds["same model"], seconds[_SKORCH], 5, n_examples)


if __name__ == "__main__":
    main(__doc__, lines)
