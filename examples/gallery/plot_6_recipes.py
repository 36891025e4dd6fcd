"""
Recipes of the literature
=========================

What papers ship as flags of a shell script is here a dictionary of parameters, with a note of what is not reproduced.
"""

# %%
# What there is
# -------------

from skbert import recipes

print(recipes.names())
print()
print(recipes.describe("zhang2021_llrd"))

# %%
# A recipe says how to train, not how to read: it sets no pooling, so that the same recipe trains a [CLS] baseline and a
# MaxPoolBERT. Recipes that drop or repeat layers need to know how many there are.

from skbert import MaxPoolBERTClassifier

clf = MaxPoolBERTClassifier("minilm", **recipes.get("sajjad2020_top", n_layers=6))
print(clf.layer_path)

# %%
# Comparing them
# --------------
# All recipes name the same parameters, so going from one to another leaves nothing of the former behind. A study
# takes them as variants. Three epochs at 2e-5, the usual recipe, were made for a large encoder and thousands of texts:
# here such runs come out as failed, and are counted.

import warnings

from skbert import StabilityStudy
from skbert.datasets import load_helpdesk
from skbert.plots import StabilityDisplay

X, y = load_helpdesk(return_X_y=True)
names = ("devlin2019", "mosbach2021", "few_data")
variants = {
    name: recipes.get(name, n_layers=6) | {"max_epochs": min(6, recipes.get(name)["max_epochs"])} for name in names
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # the failed runs, which are shown below
    study = StabilityStudy(
        MaxPoolBERTClassifier("minilm"), variants, seeds=4, train_sizes=[48], test_size=120, n_jobs=-1, random_state=0
    ).fit(X, y)
study.summary()[["variant", "n", "mean", "std", "failed"]].round(3)

# %%
display = StabilityDisplay.from_estimator(study)
