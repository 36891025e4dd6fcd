"""A small classifier whose landscape is quick to compute, and its landscape."""

import numpy as np
import pytest
from sklearn.base import clone

from skbert import LossLandscape, MaxPoolBERTClassifier


@pytest.fixture(scope="session")
def clf(tiny):
    """A classifier that moves all its weights in two epochs."""
    return MaxPoolBERTClassifier(
        tiny(), layers=2, max_epochs=2, batch_size=8, learning_rate=3e-3, random_state=0, device="cpu"
    )


@pytest.fixture(scope="session")
def val(texts, labels):
    """Texts that the training does not see, with labels of which some are wrong."""
    return [f"{text} please" for text in texts[::-1]][:9], np.roll(labels[::-1][:9], 1)


@pytest.fixture(scope="session")
def land(clf, texts, labels, val):
    """The landscape of `clf`."""
    land = LossLandscape(clone(clf), n_points=5, n_groups=2, random_state=0)
    return land.fit(texts, labels, X_val=val[0], y_val=val[1])
