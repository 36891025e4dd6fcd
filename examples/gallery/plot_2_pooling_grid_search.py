"""
Searching the pooling plane
===========================

Reading an encoder needs two choices: the pooling over layers and the pooling over tokens. Both are parameters, so
:class:`~sklearn.model_selection.GridSearchCV` can choose them.
"""

# %%
# Two axes
# --------
# An encoder with L layers computes hidden states H_0 (embeddings) to H_L. ``layers`` and ``layer_pooling`` combine
# them into one state, token by token. ``token_pooling`` combines the tokens into one vector. The [CLS] baseline of
# BERT, the methods of the MaxPoolBERT paper, and the same methods with a mean are all points on this plane.

import pandas as pd
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skbert import MaxPoolBERTClassifier, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
X, y = X[:72], y[:72]

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data_joint", n_layers=6), random_state=0)
clf.set_params(max_epochs=5)
grid = [
    {"layers": [1], "token_pooling": ["cls", "mha"]},
    {"layers": [3], "layer_pooling": ["max", "mean"], "token_pooling": ["cls", "mha"]},
]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
search = GridSearchCV(clf, grid, cv=folds, refit=False).fit(X, y)

# %%
# Results
# -------
# The mean of each point, and the score of every fold.

from skbert.plots import CVScoresDisplay

names = [
    f"{p['layers']} layer(s), {p.get('layer_pooling', '–')}, {p['token_pooling']}" for p in search.cv_results_["params"]
]
scores = pd.DataFrame({f"fold {i}": search.cv_results_[f"split{i}_test_score"] for i in range(3)}, index=names)
print(scores.round(3))
display = CVScoresDisplay({name: row.to_numpy() for name, row in scores.iterrows()}, score_name="accuracy").plot()

# %%
# Before you trust the best score
# -------------------------------
# ``clone`` copies an int ``random_state``, so all of these fits started from the same seed, on one draw of 72 texts.
# If six numbers differ only by chance, the best one is not a better method. :ref:`A stability study
# <sphx_glr_auto_examples_plot_5_stability_study.py>` answers this question properly.
