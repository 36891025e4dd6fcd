"""
Recipes of the literature
=========================

Papers often give their settings as options of a shell script. A recipe gives them as a dictionary of parameters, with a
note about what is not reproduced.
"""

# %%
# The recipes
# -----------

from skbert import recipes

print(recipes.names())
print()
print(recipes.describe("zhang2021_llrd"))

# %%
# A recipe says how to train, not how to read the encoder. It sets no pooling, so the same recipe trains a [CLS]
# baseline or a MaxPoolBERT. Recipes that drop or repeat layers need the number of layers.

from skbert import MaxPoolBERTClassifier

clf = MaxPoolBERTClassifier("minilm", **recipes.get("sajjad2020_top", n_layers=6))
print(clf.layer_path)

# %%
# Comparing them
# --------------
# All recipes set the same parameters, so a change from one recipe to another leaves no setting of the first. A study
# takes them as variants. The usual recipe, three epochs at 2e-5, was made for a large encoder and thousands of texts.
# Here such runs fail, and the study counts them.

import warnings

from skbert import StabilityStudy
from skbert.datasets import load_helpdesk
from skbert.plots import StabilityDisplay

X, y = load_helpdesk(return_X_y=True)
names = ("devlin2019", "mosbach2021", "few_data_joint")
variants = {
    name: recipes.get(name, n_layers=6) | {"max_epochs": min(6, recipes.get(name)["max_epochs"])} for name in names
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # about the failed runs, which are shown below
    study = StabilityStudy(
        MaxPoolBERTClassifier("minilm"), variants, seeds=4, train_sizes=[48], test_size=120, n_jobs=-1, random_state=0
    ).fit(X, y)
study.summary()[["variant", "n", "mean", "std", "failed"]].round(3)

# %%
display = StabilityDisplay.from_estimator(study)
