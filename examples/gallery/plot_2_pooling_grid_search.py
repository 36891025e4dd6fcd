"""
Searching the pooling plane
===========================

How to read an encoder is two choices, over layers and over tokens. Both are parameters, so
:class:`~sklearn.model_selection.GridSearchCV` can make them.
"""

# %%
# Two axes
# --------
# An encoder of L layers gives hidden states H_0 (embeddings) to H_L. ``layers`` and ``layer_pooling`` make one of
# them, token by token; ``token_pooling`` makes one vector of the tokens. BERT's [CLS] baseline, the points of the
# MaxPoolBERT paper and their mean counterparts all lie on this plane.

import pandas as pd
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skbert import MaxPoolBERTClassifier, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
X, y = X[:72], y[:72]

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data", n_layers=6), random_state=0)
clf.set_params(max_epochs=5)
grid = [
    {"layers": [1], "token_pooling": ["cls", "mha"]},
    {"layers": [3], "layer_pooling": ["max", "mean"], "token_pooling": ["cls", "mha"]},
]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
search = GridSearchCV(clf, grid, cv=folds, refit=False).fit(X, y)

# %%
# What came out
# -------------
# The mean of each point, and every fold beside it.

from skbert.plots import CVScoresDisplay

names = [
    f"{p['layers']} layer(s), {p.get('layer_pooling', '–')}, {p['token_pooling']}" for p in search.cv_results_["params"]
]
scores = pd.DataFrame({f"fold {i}": search.cv_results_[f"split{i}_test_score"] for i in range(3)}, index=names)
print(scores.round(3))
display = CVScoresDisplay({name: row.to_numpy() for name, row in scores.iterrows()}, score_name="accuracy").plot()

# %%
# Before you believe the best of them
# -----------------------------------
# ``clone`` copies an int ``random_state``, so all of these fits started from one seed, on one draw of 72 texts. The
# best of six numbers that differ by chance is not a better method. :ref:`A stability study
# <sphx_glr_auto_examples_plot_5_stability_study.py>` asks that question properly.
