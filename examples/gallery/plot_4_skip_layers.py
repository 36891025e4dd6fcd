"""
Which layers matter for which label
===================================

Replace layers of a fine-tuned encoder by the identity, and see which labels suffer (Kiyuna, Oka and Komachi 2022).
"""

# %%
# A fine-tuned model, and texts that it has not seen
# --------------------------------------------------

from skbert import MaxPoolBERTClassifier, SkipLayerProbe, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
clf = MaxPoolBERTClassifier(
    "minilm", layers=1, token_pooling="cls", **recipes.get("few_data", n_layers=6), random_state=0
)
clf.set_params(max_epochs=10).fit(X[:180], y[:180])

# %%
# All spans at once
# -----------------
# An encoder of six layers has 21 spans of consecutive layers. They share all the work below them, so that the probe
# takes a fraction of 21 predictions. With ``cv="prefit"`` the estimator is the one above; with a number of folds the
# probe fits a clone for each, and every text is scored by a model that has not seen it.

probe = SkipLayerProbe(clf, cv="prefit", random_state=0).fit(X[180:], y[180:])
print(f"full model: {probe.baseline_score_:.3f}")
print(probe.to_frame().query("stop - start == 1").pivot(index="label", columns="span", values="change").round(2))

# %%
# The triangles
# -------------
# Row: first layer that is skipped; column: where skipping stops. All labels share one scale. Crossed cells are spans
# under which the model predicts one class for all texts: there the encoder is broken, and nothing is to be learned of
# labels.

from skbert.plots import SkipLayerDisplay

display = SkipLayerDisplay.from_estimator(probe, title="Change of recall")

# %%
# Importance of a layer: how much the gold label's log-probability falls, per skipped layer.

display.plot_importance()

# %%
# More than chance?
# -----------------
# The permutation test shuffles gold labels over texts. A small p-value says that falls differ by label by more than
# chance would have it, not why: a label that is only harder loses otherwise, and a label to which a damaged model flees
# keeps its recall for that reason alone. The recall of the full model stands in the titles above.

test = probe.pattern_test_
print(f"W*d {test.statistic:.2f}, p = {test.pvalue:.3f}")
print(probe.signature_clusters(6).agreement)
