"""
What fine-tuning does to the loss
=================================

Compute the loss between and around the start and the end of fine-tuning, as Hao, Dong, Wei and Xu (2019) did.
"""

# %%
# From the start to the end
# -------------------------
# The start is the pretrained encoder with a new head, the end is the fine-tuned model. Only the two top layers are
# trained here, so that this page is built in less than a minute: the layers below them run only once per text.

from skbert import LossLandscape, MaxPoolBERTClassifier
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
clf = MaxPoolBERTClassifier(
    "minilm", layers=1, token_pooling="cls", freeze_layers=4, learning_rate=1e-3, max_epochs=8, random_state=0
)
land = LossLandscape(clf, n_points=9, n_groups=6, max_texts=60, random_state=0)
land.fit(X[:96], y[:96], X_val=X[96:], y_val=y[96:])
for sentence in land.conclusions():
    print(sentence)

# %%
# The line
# --------
# Every point sees the same texts, without dropout. The bands show how far the mean loss depends on these texts.

from skbert.plots import LossLandscapeDisplay

display = LossLandscapeDisplay(land).plot(kind="line", title="From start to end")

# %%
# The plane through two seeds
# ---------------------------
# The second direction leads to the end of another fit from the same start, with another order of the texts and another
# dropout. Both surfaces have one colour scale.

display.plot(kind="surface", title="Two seeds")

# %%
# Which layers are needed?
# ------------------------
# Each group of layers is set back to its start, and all else stays at its end. Layers that were not trained change
# nothing.

display.plot(kind="rollback", title="Rollback of one layer each")

# %%
# Curvature
# ---------
# The largest eigenvalues, and the trace with its standard error. Do not read them as a promise for other texts: they
# depend on how weights are written down (see the guide).

found = land.curvature(n_eigenvalues=3, n_probes=4)
print(found.eigenvalues.round(2), f"trace {found.trace:.1f} ± {found.trace_error:.1f}")
print(f"sharpness {land.sharpness():.4f}")
display.plot(kind="density", title="Spectrum at the end")
