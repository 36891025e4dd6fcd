"""Folders that an earlier version of the code saved: they load, and predict what they predicted then."""

import json
from pathlib import Path

import numpy as np
import pytest

import skbert

# Written by the code of 2026-11-25, before its modules moved; the encoder is a small random BERT.
SAVED = Path(__file__).parent / "saved"
EXPECTED = json.loads((SAVED / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("folder", "name", "method"),
    [
        ("classifier", "MaxPoolBERTClassifier", "predict_proba"),
        ("regressor", "MaxPoolBERTRegressor", "predict"),
        ("featurizer", "LayerPoolFeaturizer", "transform"),
    ],
)
def test_saved_folder_of_before__loads_and_predicts_the_same(folder, name, method):
    estimator = getattr(skbert, name).load(SAVED / folder)
    values = getattr(estimator, method)(EXPECTED["texts"])
    np.testing.assert_allclose(values, EXPECTED[folder], rtol=1e-4, atol=1e-5)


def test_saved_classifier_of_before__keeps_parameters_and_attributes():
    clf = skbert.MaxPoolBERTClassifier.load(SAVED / "classifier")
    assert clf.layer_path == (0, 1, 1)
    assert clf.get_params()["learning_rate"] == 5e-3
    assert clf.classes_.tolist() == ["login", "order", "refund"]
    assert clf.n_iter_ == 4
    assert len(clf.history_) == 4
