"""
Which layers matter for which label
===================================

Replace layers of a fine-tuned encoder by the identity, and see which labels suffer (Kiyuna, Oka and Komachi 2022).
"""

# %%
# A fine-tuned model and held-out texts
# -------------------------------------

from skbert import MaxPoolBERTClassifier, SkipLayerProbe, recipes
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
clf = MaxPoolBERTClassifier(
    "minilm", layers=1, token_pooling="cls", **recipes.get("few_data_joint", n_layers=6), random_state=0
)
clf.set_params(max_epochs=10).fit(X[:180], y[:180])

# %%
# All spans at once
# -----------------
# An encoder with six layers has 21 spans of consecutive layers. Spans share the computation of the layers below them,
# so the probe is much faster than 21 predictions. With ``cv="prefit"``, the probe uses the fitted estimator from
# above. With a number of folds, it fits a clone per fold, and a model scores only texts that it was not trained on.

probe = SkipLayerProbe(clf, cv="prefit", random_state=0).fit(X[180:], y[180:])
print(f"full model: {probe.baseline_score_:.3f}")
print(probe.to_frame().query("stop - start == 1").pivot(index="label", columns="span", values="change").round(2))

# %%
# The triangles
# -------------
# Row: first layer that is skipped; column: where skipping stops. All labels have the same colour scale. Crossed cells
# are spans with which the model predicts the same class for all texts. There the encoder no longer works, so these
# cells show nothing about labels.

from skbert.plots import SkipLayerDisplay

display = SkipLayerDisplay.from_estimator(probe, title="Change of recall")

# %%
# The importance of a layer is the fall of the log-probability of the gold label per skipped layer.

display.plot_importance()

# %%
# More than chance?
# -----------------
# The permutation test shuffles gold labels over texts. A small p-value says that falls differ between labels by more
# than chance. It does not say why: a label that is only harder loses differently, and if a damaged model predicts one
# label often, this label keeps its recall for this reason alone. The titles above show the recall of the full model.

test = probe.pattern_test_
print(f"W*d {test.statistic:.2f}, p = {test.pvalue:.3f}")
print(probe.signature_clusters(6).agreement)
