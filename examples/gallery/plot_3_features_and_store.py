"""
Features without training, and a store that never computes twice
================================================================

Frozen hidden states and a logistic regression are a strong start on few texts, and cost seconds.
"""

# %%
# A pipeline
# ----------
# :class:`~skbert.LayerPoolFeaturizer` is a transformer like any other: texts in, an array out.

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
# Without a store, every fold of every candidate runs the encoder again. With one, each distinct text goes
# through it once, and every other fold, layer and pooling is answered from what was kept.

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
# folds: neighbours differ by less than that.

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
# Where the states are
# --------------------
# ``store="memory"`` keeps them in this process, a folder on disk for all processes of the machine. Several may write to
# it at once, and be killed while they do; what is torn is found by its checksum and computed anew. The folder above was
# temporary; give a name of your own, and look at it with :class:`~skbert.FeatureStore`.
