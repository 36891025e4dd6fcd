"""A fine-tuning run that fails on real weights says so, and what it says to try helps."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skbert import MaxPoolBERTClassifier
from skbert.datasets import load_helpdesk


@pytest.fixture(scope="module")
def few():
    X, y = load_helpdesk(return_X_y=True)
    chosen = np.isin(y, ["billing", "order_status", "technical_issue"])
    return X[chosen][:36], y[chosen][:36]


@pytest.mark.parametrize("bias_correction", [True, False])
def test_guard__catches_a_high_learning_rate_without_warmup(minilm, few, bias_correction):
    X, y = few
    clf = MaxPoolBERTClassifier(
        minilm, learning_rate=1e-2, warmup_ratio=0.0, bias_correction=bias_correction, max_epochs=2, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match=r"Fine-tuning failed \((constant|diverged)\)") as caught:
        clf.fit(X, y)
    assert clf.training_status_ in ("constant", "diverged")
    message = str(caught[0].message)
    assert all(word in message for word in ("learning_rate", "warmup_ratio"))
    # One run, as asked for: nothing was tried again behind the user's back.
    assert clf.n_iter_ == len(clf.history_) == 2
    if clf.training_status_ == "constant":
        assert len(set(clf.predict(X))) == 1


def test_guard__what_it_advises_helps(minilm, few):
    X, y = few
    clf = MaxPoolBERTClassifier(minilm, learning_rate=3e-4, warmup_ratio=0.1, max_epochs=4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf.fit(X, y)
    assert clf.training_status_ == "converged"
    assert clf.score(X, y) > 0.9


def test_guard__catches_an_overflow_as_diverged(minilm, few):
    X, y = few
    clf = MaxPoolBERTClassifier(
        minilm, learning_rate=1e30, warmup_ratio=0.0, max_grad_norm=None, max_epochs=3, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match=r"failed \(diverged\).*non-finite in epoch 1.*lower learning_rate"):
        clf.fit(X, y)
    assert clf.training_status_ == "diverged"
    assert clf.n_iter_ == 1
