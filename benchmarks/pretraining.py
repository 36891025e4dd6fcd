"""How fast is masked-LM training, and what does sharing it in a grid search save?

python -m benchmarks.pretraining

Steps are timed as a user calls them: from texts to a trained model, with weights from disk or from a cache. Both sides
train on the same texts, with the same number of texts per step and the same share of masked tokens; the masks
themselves are drawn by each side.
"""

import tempfile
import time
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

from benchmarks._main import main
from benchmarks._table import Line
from benchmarks._tensor_memory import peak_bytes
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import LayerPoolFeaturizer, MaskedLanguageModel
from skbert.encoder import minilm_folder
from skbert.estimators import clear_trained

BATCH_SIZE, MAX_LENGTH, LEARNING_RATE = 32, 128, 1e-4


def fit_ours(texts, rate, steps):
    return MaskedLanguageModel(
        "minilm",
        mask_rate=rate,
        max_steps=steps,
        batch_size=BATCH_SIZE,
        max_length=MAX_LENGTH,
        learning_rate=LEARNING_RATE,
        validation_fraction=0.0,
        random_state=0,
        device="cpu",
        precision="fp32",
    ).fit(texts)


def _rows(texts):
    tokenizer = AutoTokenizer.from_pretrained(str(minilm_folder()))
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, return_special_tokens_mask=True)
    return tokenizer, [{name: column[i] for name, column in encoded.items()} for i in range(len(texts))]


def fit_trainer(texts, rate, steps):
    """transformers' Trainer, which needs accelerate; batches are padded to their longest text."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    tokenizer, rows = _rows(texts)
    model = AutoModelForMaskedLM.from_pretrained(str(minilm_folder()))
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=0.01,
            use_cpu=True,
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=rate)
        trainer = Trainer(model, arguments, train_dataset=rows, data_collator=collator)
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def fit_plain_loop(texts, rate, steps):
    """The steps of Trainer without Trainer: the same model, collator and padding, and a fused AdamW."""
    tokenizer, rows = _rows(texts)
    model = AutoModelForMaskedLM.from_pretrained(str(minilm_folder())).train()
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=rate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    generator, order = np.random.default_rng(0), []
    for _ in range(steps):
        if not order:
            shuffled = generator.permutation(len(rows))
            order = [shuffled[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
        loss = model(**collator([rows[i] for i in order.pop()])).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def _step_lines(options):
    texts, steps = (texts_for(options, 64), 2) if options.quick else (texts_for(options, 256), 8)
    fit, against = fit_plain_loop, "a plain loop of transformers with DataCollatorForLanguageModeling"
    if find_spec("accelerate") is not None:
        fit, against = fit_trainer, "HF Trainer with DataCollatorForLanguageModeling"
    for rate, target in ((0.15, 2.5), (0.4, 2.0)):
        seconds = alternate(
            {
                "ours": lambda rate=rate: fit_ours(texts, rate, steps),
                "theirs": lambda rate=rate: fit(texts, rate, steps),
            },
            options.repeats,
        )
        name = f"masked-LM training, {steps} steps of {BATCH_SIZE} texts, {rate:.0%} masked, fp32"
        yield ratio_line(name, against, seconds["ours"], seconds["theirs"], target, steps * BATCH_SIZE)


def _hybrid_line(options):
    """Texts of 128 tokens through four layers, all of attention, or half of them pooling."""
    n, steps = (32, 2) if options.quick else (64, 4)
    words = "one two three red green blue lamp parcel late money".split()
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, 126)) for _ in range(n)]

    def fit(mixers):
        architecture = {"n_layers": 4, "width": 384, "n_heads": 12, "ffn_width": 1536, "mixers": mixers}
        model = MaskedLanguageModel(
            "minilm",
            architecture=architecture,
            max_steps=steps,
            batch_size=16,
            validation_fraction=0.0,
            random_state=0,
            device="cpu",
            precision="fp32",
        )
        model.fit(texts)

    half = ["attention", "pooling"] * 2
    seconds = alternate({"half": lambda: fit(half), "attention": lambda: fit(["attention"] * 4)}, options.repeats)
    name = f"{steps} steps of 16 texts of 128 tokens, 4 layers of 384, every second one pooling"
    against = "attention in all layers, ours"
    yield ratio_line(name, against, seconds["half"], seconds["attention"])
    peaks = [peak_bytes(lambda mixers=mixers: fit(mixers)) / 2**20 for mixers in (half, ["attention"] * 4)]
    detail = f"attention: {peaks[1]:.0f} MiB; all tensors that are alive at once, with weights and optimizer"
    yield Line(f"peak memory of {name}", against, "MiB", None, peaks[0], detail)


def _grid_line(options):
    texts, folds, steps = (texts_for(options, 24), 2, 2) if options.quick else (texts_for(options, 30), 5, 10)
    labels = labels_for(texts)
    grid = {"features__layers": [1, 3, (6,)], "features__token_pooling": ["cls", "mean"]}

    def search(seed):
        clear_trained()
        mlm = MaskedLanguageModel(
            "minilm",
            max_steps=steps,
            batch_size=16,
            validation_fraction=0.0,
            random_state=seed,
            device="cpu",
            precision="fp32",
        )
        features = LayerPoolFeaturizer(mlm, device="cpu", precision="fp32")
        pipeline = Pipeline([("features", features), ("head", LogisticRegression(max_iter=1000))])
        GridSearchCV(pipeline, grid, cv=folds, refit=False).fit(texts, labels)

    def seconds(seed):
        start = time.perf_counter()
        search(seed)
        return [time.perf_counter() - start]

    # Without a seed no two trainings are the same, so each candidate trains its own. One round, because it takes long.
    shared, anew = seconds(0), seconds(None)
    name = f"GridSearchCV, 6 heads x {folds} folds on a nested model of {steps} steps"
    yield ratio_line(name, "trained anew by each candidate", shared, anew, 5)


def lines(options):
    yield from _step_lines(options)
    yield from _hybrid_line(options)
    yield from _grid_line(options)


if __name__ == "__main__":
    main(__doc__, lines)
