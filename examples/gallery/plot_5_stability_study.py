"""
A stability study
=================

Is A better than B on my hundred texts, or is it luck of the seed? A study runs both many times and answers.
"""

# %%
# The design
# ----------
# Each run draws its own training and test texts and has its own seed. All variants get the same draws and seeds, so
# differences are paired. Null models are included. With a ``store``, every finished run is saved at once, and a stopped
# study continues where it stopped.

import tempfile
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, StabilityStudy, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
folder = Path(tempfile.mkdtemp())

clf = MaxPoolBERTClassifier("minilm", **recipes.get("few_data_joint", n_layers=6))
clf.set_params(max_epochs=5)
features = make_pipeline(
    LayerPoolFeaturizer("minilm", store="memory"), StandardScaler(), LogisticRegression(max_iter=1000)
)
variants = {"[CLS]": {"layers": 1, "token_pooling": "cls"}, "MaxPoolBERT": {}, "frozen features": features}

study = StabilityStudy(
    clf, variants, seeds=8, train_sizes=[24, 48], test_size=120, store=folder / "runs.sqlite", n_jobs=-1, random_state=0
)
study.fit(X, y)
study.summary().round(3)

# %%
# What you can say
# ----------------
# A comparison prints a sentence that you can quote. It reports separately what holds on these texts and what can be
# shown for other texts of the same kind. A difference below the smallest difference cannot be shown for other texts by
# any number of runs, only by more labelled texts.

for a, b in (("MaxPoolBERT", "[CLS]"), ("MaxPoolBERT", "frozen features")):
    comparison = study.compare(a, b)
    print(comparison)
    print(f"to see five points on these texts: {comparison.seeds_needed(0.05, texts='these')} runs of each")
    print(f"smallest difference that can be shown for other texts: {comparison.smallest_difference():.3f}\n")

# %%
# The pictures
# ------------

from skbert.plots import StabilityDisplay

display = StabilityDisplay.from_estimator(study)
display.plot_learning_curve()

# %%
# Every run of the largest size, with quartiles:

display.plot()

# %%
# The same runs as paired differences to the first variant:

display.plot_differences()

# %%
# The report
# ----------
# The report has all of this on one page, with failed runs, versions, hashes and seeds. It needs no network.

path = study.report(folder / "report.html", title="Helpdesk: how to read MiniLM")
print(path.name, path.stat().st_size // 1024, "KiB")

# %%
# On many cores or a cluster
# --------------------------
# Every run computes on one core, so the numbers are the same for any ``n_jobs``. On a Dask cluster the study runs
# unchanged:
#
# .. code-block:: python
#
#     from dask.distributed import Client
#     with joblib.parallel_config(backend="dask"), Client("scheduler-address:8786"):
#         study.fit(X, y)
