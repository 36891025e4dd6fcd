"""
Features without training, and a store that saves computation
=============================================================

Frozen hidden states and a logistic regression are a good start with few texts, and take only seconds.
"""

# %%
# A pipeline
# ----------
# :class:`~skbert.LayerPoolFeaturizer` is a scikit-learn transformer: it turns texts into an array.

import time

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skbert import FeatureStore, LayerPoolFeaturizer
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
X, y = X[:120], y[:120]


def pipeline(store):
    return Pipeline(
        [
            ("read", LayerPoolFeaturizer("minilm", store=store)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=1000)),
        ]
    )


print(cross_val_score(pipeline(None), X, y).round(3))

# %%
# Which layer, which pooling?
# ---------------------------
# Without a store, every fold of every candidate runs the encoder again. With a store, each distinct text goes
# through the encoder once, and all folds, layers and poolings use the stored hidden states.

import tempfile

grid = {"read__layers": [1, 2, 3, 4, 5, 6], "read__token_pooling": ["cls", "mean", "max"]}
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    search = GridSearchCV(pipeline(folder), grid).fit(X, y)
    seconds = time.perf_counter() - start
    size = FeatureStore(folder).n_bytes
print(f"{len(search.cv_results_['params']) * 5} fits in {seconds:.1f} s; the store holds {size / 2**20:.0f} MiB")

# %%
# ``layers=k`` is the mean of the last k layers. The picture shows all 18 points, each with its standard error over
# folds. Neighbouring points differ by less than their standard error.

import matplotlib.pyplot as plt
import numpy as np

fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
results = search.cv_results_
for pooling, marker in (("cls", "o"), ("mean", "s"), ("max", "^")):
    chosen = np.array([p["read__token_pooling"] == pooling for p in results["params"]])
    k = [p["read__layers"] for p, mine in zip(results["params"], chosen, strict=True) if mine]
    error = results["std_test_score"][chosen] / np.sqrt(5)
    ax.errorbar(k, results["mean_test_score"][chosen], error, marker=marker, capsize=3, label=pooling)
ax.set(xlabel="last k layers, averaged", ylabel="accuracy, 5 folds")
ax.legend(title="token_pooling", frameon=False, loc="center right")

# %%
# Where the states are stored
# ---------------------------
# ``store="memory"`` keeps the states in this process; a folder keeps them on disk for all processes of the machine.
# Several processes may write to it at the same time, and may be killed while they write. Damaged data are detected by
# their checksum and computed again. The folder above was temporary. Use your own folder, and inspect it with
# :class:`~skbert.FeatureStore`.
