"""
Going on with pretraining
=========================

A pretrained encoder learns the words of your texts, without labels: some tokens are hidden, and it predicts them.
:class:`~skbert.MaskedLanguageModel` does this in one ``fit``, and stands in the place of the name of a model.
"""

import warnings

from skbert import MaskedLanguageModel
from skbert.datasets import load_helpdesk

# MiniLM is a sentence encoder, which may lose by this training; `fit` says so. Here it only shows how things work.
warnings.simplefilter("ignore")

X, y = load_helpdesk(return_X_y=True)
mlm = MaskedLanguageModel("minilm", max_steps=50, batch_size=12, masking="whole_word", random_state=0)
mlm.fit(X[:400])

# %%
# The held-out texts are measured by masks that never change. The null model predicts each token by its frequency.

import matplotlib.pyplot as plt

steps = [0] + [row["step"] for row in mlm.history_ if "val_loss" in row]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(steps, mlm.val_loss_curve_, marker="o", label="held-out texts")
left.axhline(mlm.unigram_loss_, color="grey", linestyle="--", label="unigram model")
left.set(xlabel="step", ylabel="nats per masked token")
left.legend()

# %%
# What does it put in a gap?

texts = ["my [MASK] is late", "i cannot log in to my [MASK]"]
for text, gaps in zip(texts, mlm.fill_mask(texts, k=3), strict=True):
    print(text, [f"{token} {share:.2f}" for token, share in gaps[0]])

# %%
# The output layer was trained on the last hidden state. How much of a token can it find in the others?
# (Kao et al. 2020)

reading = mlm.read_layers(X[400:])
right.bar(range(len(reading.accuracy)), reading.accuracy)
right.set(xlabel="hidden state", ylabel="share of tokens found")
figure

# %%
# Before a classifier
# -------------------
# In place of a model name, it is trained on the texts of each fit: in a cross-validation, on those of each fold. Equal
# trainings are done once per process.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbert import LayerPoolFeaturizer

quick = MaskedLanguageModel("minilm", max_steps=20, batch_size=12, random_state=0)
for name, model in {"before": "minilm", "after": quick}.items():
    pipeline = make_pipeline(LayerPoolFeaturizer(model), StandardScaler(), LogisticRegression(max_iter=1000))
    print(name, cross_val_score(pipeline, X[:120], y[:120], cv=2).round(3))

# %%
# From scratch, in Japanese
# -------------------------
# The vocabulary is learned from the texts, which MeCab divides into words. This model is tiny, and so are its texts.

japanese = load_helpdesk("ja").data
tiny = MaskedLanguageModel(
    architecture={"n_layers": 2, "width": 64, "mixers": ["pooling", "attention"]},
    vocabulary=1000,
    masking="whole_word",
    max_steps=100,
    learning_rate=5e-3,
    random_state=0,
).fit(japanese)
print(f"{tiny.val_loss_curve_[0]:.2f} → {tiny.val_loss_curve_[-1]:.2f}, unigram {tiny.unigram_loss_:.2f}")
print(tiny.fill_mask(["荷物が[MASK]ません"], k=3))
