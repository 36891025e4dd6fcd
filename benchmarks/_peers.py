"""Fine-tuning as users of other libraries write it: from texts and labels to a trained model."""

import tempfile

import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

MAX_LENGTH, BATCH_SIZE, LEARNING_RATE = 128, 16, 2e-5


def fit_trainer(folder, texts, labels, epochs, *, device="cpu", bf16=False, test=None):
    """transformers' Trainer, with batches padded to their longest text; other settings are its defaults.

    `test`, texts and labels, are predicted after training.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def rows_of(texts, labels):
        encoded = tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH)
        return [
            {**{name: column[i] for name, column in encoded.items()}, "labels": int(label)}
            for i, label in enumerate(labels)
        ]

    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=0.01,
            bf16=bf16,
            use_cpu=device == "cpu",
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(tokenizer)
        trainer = Trainer(model, arguments, train_dataset=rows_of(texts, labels), data_collator=collator)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        if test is not None:
            trainer.predict(rows_of(*test))
    return model


class _Logits(nn.Module):
    """The module that skorch needs: it is built during the fit and returns logits."""

    def __init__(self, folder):
        super().__init__()
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def forward(self, **inputs):
        return self.model(**inputs).logits


def fit_skorch(folder, texts, labels, epochs):
    """skorch's classifier after skorch's tokenizer, which pads all texts to the maximum length."""
    from sklearn.pipeline import make_pipeline
    from skorch import NeuralNetClassifier
    from skorch.hf import HuggingfacePretrainedTokenizer

    net = NeuralNetClassifier(
        _Logits,
        module__folder=folder,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.01,
        lr=LEARNING_RATE,
        max_epochs=epochs,
        batch_size=BATCH_SIZE,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return make_pipeline(HuggingfacePretrainedTokenizer(folder, max_length=MAX_LENGTH), net).fit(texts, labels)


class PlainFeatures(TransformerMixin, BaseEstimator):
    """Pooled features as a scikit-learn step with plain transformers: padded batches of 32, all layers, every time."""

    def __init__(self, folder=None, layer=6, token_pooling="mean"):
        self.folder = folder
        self.layer = layer
        self.token_pooling = token_pooling

    def fit(self, X, y=None):
        self.tokenizer_ = AutoTokenizer.from_pretrained(self.folder)
        self.model_ = AutoModel.from_pretrained(self.folder).eval()
        return self

    def transform(self, X):
        rows = []
        for start in range(0, len(X), 32):
            batch = self.tokenizer_(
                list(X[start : start + 32]), padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = self.model_(**batch, output_hidden_states=True).hidden_states[self.layer]
            keep = batch["attention_mask"][..., None].bool()
            if self.token_pooling == "cls":
                rows.append(hidden[:, 0])
            elif self.token_pooling == "mean":
                rows.append((hidden * keep).sum(1) / keep.sum(1))
            else:
                rows.append(hidden.masked_fill(~keep, -torch.inf).amax(1))
        return torch.cat(rows).numpy()
