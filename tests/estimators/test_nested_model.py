"""A masked language model in place of the name of an encoder: when it is trained, on what, and how often."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skbert import (
    LayerPoolFeaturizer,
    MaskedLanguageModel,
    MaxPoolBERTClassifier,
    MaxPoolBERTRegressor,
    SkipLayerProbe,
    StabilityStudy,
)
from skbert.encoder import load_encoder
from skbert.estimators import _nested_model, clear_trained
from skbert.pretraining import _masked_language_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def nothing_trained():
    clear_trained()


@pytest.fixture
def trainings(monkeypatch):
    """The number of texts of each training of a masked language model."""
    found, train = [], _masked_language_model.train

    def count(net, masking, held_out, *others):
        found.append(len(masking.corpus) + (0 if held_out is None else len(held_out)))
        return train(net, masking, held_out, *others)

    monkeypatch.setattr(_masked_language_model, "train", count)
    return found


def mlm_of(folder, **parameters):
    settings = {"max_steps": 3, "batch_size": 8, "learning_rate": 1e-2, "device": "cpu", "random_state": 0}
    return MaskedLanguageModel(folder, **settings | parameters)


def classifier(model, **parameters):
    settings = {"max_epochs": 1, "layers": 1, "device": "cpu", "random_state": 0}
    return MaxPoolBERTClassifier(model, **settings | parameters)


def test_classifier__equals_the_classifier_of_the_folder_that_the_model_writes(tiny, texts, labels, tmp_path):
    mlm_of(tiny()).fit(texts).to_transformers(tmp_path)
    expected = classifier(str(tmp_path)).fit(texts, labels).decision_function(texts)
    found = classifier(mlm_of(tiny())).fit(texts, labels).decision_function(texts)
    assert np.array_equal(found, expected)
    assert not np.allclose(found, classifier(tiny()).fit(texts, labels).decision_function(texts), atol=1e-4)


def test_featurizer__equals_the_featurizer_of_the_folder_that_the_model_writes(tiny, texts, tmp_path):
    mlm_of(tiny()).fit(texts).to_transformers(tmp_path)
    expected = LayerPoolFeaturizer(str(tmp_path), device="cpu").fit_transform(texts)
    assert np.array_equal(LayerPoolFeaturizer(mlm_of(tiny()), device="cpu").fit_transform(texts), expected)


def test_regressor__is_fitted_on_it(tiny, texts):
    regressor = MaxPoolBERTRegressor(mlm_of(tiny()), max_epochs=1, layers=1, device="cpu", random_state=0)
    assert regressor.fit(texts, np.arange(len(texts), dtype=float)).predict(texts[:2]).shape == (2,)


def test_fit__parameters__are_not_changed(tiny, texts, labels):
    mlm = mlm_of(tiny(), random_state=None)
    clf = classifier(mlm).fit(texts, labels)
    assert clf.model is mlm
    assert mlm.random_state is None
    assert not hasattr(mlm, "n_iter_")


def test_cross_val_score__each_fold__trains_on_its_own_texts_and_extra_texts(tiny, texts, labels, trainings):
    mlm = mlm_of(tiny(), extra_texts=["one more lamp", "two more lamps"])
    scores = cross_val_score(classifier(mlm), texts, labels, cv=KFold(3))
    assert np.isfinite(scores).all()
    assert trainings == [16 + 2] * 3


def test_grid_search__over_heads__trains_once_per_fold(tiny, texts, labels, trainings):
    grid = {"layers": [1, 2, 3], "token_pooling": ["cls", "mean"]}
    GridSearchCV(classifier(mlm_of(tiny())), grid, cv=3, refit=False).fit(texts, labels)
    assert len(trainings) == 3


def test_grid_search__over_the_model__reaches_its_parameters(tiny, texts, labels, trainings):
    search = GridSearchCV(classifier(mlm_of(tiny())), {"model__mask_rate": [0.15, 0.4]}, cv=2).fit(texts, labels)
    assert len(trainings) == 2 * 2 + 1
    assert search.best_estimator_.model.mask_rate in (0.15, 0.4)


def test_grid_search__in_a_pipeline__shares_the_training_too(tiny, texts, labels, trainings):
    pipeline = make_pipeline(LayerPoolFeaturizer(mlm_of(tiny()), device="cpu"), LogisticRegression())
    grid = {"layerpoolfeaturizer__layers": [1, 2], "logisticregression__C": [0.1, 1]}
    GridSearchCV(pipeline, grid, cv=2, refit=False).fit(texts, labels)
    assert len(trainings) == 2


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [(0, None, 1), (None, 0, 1), (None, None, 2), (np.random.RandomState(0), None, 1)],
    ids=["inner seed", "outer seed", "no seed", "generator"],
)
def test_fit__twice__trains_once_where_a_seed_is_given(tiny, texts, labels, trainings, inner, outer, expected):
    clf = classifier(mlm_of(tiny(), random_state=inner), random_state=outer)
    for _ in range(2):
        clf.fit(texts, labels)
    assert len(trainings) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"mask_rate": 0.3},
        {"random_state": 1},
        {"extra_texts": ["more"]},
        {"mask_weights": lambda ids: np.ones(len(ids))},
    ],
    ids=["rate", "seed", "extra", "weights"],
)
def test_fit__another_parameter__trains_again(tiny, texts, labels, trainings, other):
    classifier(mlm_of(tiny())).fit(texts, labels)
    for _ in range(2):
        classifier(mlm_of(tiny(), **other)).fit(texts, labels)
    assert len(trainings) == 2


def test_fit__other_texts__trains_again(tiny, texts, labels, trainings):
    classifier(mlm_of(tiny())).fit(texts, labels)
    classifier(mlm_of(tiny())).fit(texts[:12], labels[:12])
    assert trainings == [24, 12]


def test_fit__validation_texts__are_not_trained_on(tiny, texts, labels, trainings):
    classifier(mlm_of(tiny()), early_stopping=True, validation_fraction=0.25).fit(texts, labels)
    assert trainings == [18]


def test_fit__from_several_threads__trains_once(tiny, texts, trainings):
    from concurrent.futures import ThreadPoolExecutor

    def features(_):
        return LayerPoolFeaturizer(mlm_of(tiny()), device="cpu").fit_transform(texts)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(features, range(3)))
    assert len(trainings) == 1
    assert np.array_equal(found[0], found[2])


def test_fit__full_memory__forgets_the_encoder_used_longest_ago(tiny, texts, trainings, monkeypatch):
    size = load_encoder(tiny()).n_bytes
    monkeypatch.setattr(_nested_model, "_MOST_BYTES", int(2.5 * size))
    for seed in (0, 1, 0, 2, 0, 1):
        LayerPoolFeaturizer(mlm_of(tiny(), random_state=seed), device="cpu").fit(texts)
    assert len(trainings) == 4  # 0, 1, 2, and 1 again


def test_frozen__fitted_model__is_not_trained_again(tiny, texts, labels, trainings, tmp_path):
    mlm = mlm_of(tiny()).fit(texts)
    mlm.to_transformers(tmp_path)
    clf = classifier(FrozenEstimator(mlm))
    found = clf.fit(texts[:12], labels[:12]).decision_function(texts)
    cross_val_score(clf, texts, labels, cv=2)
    assert len(trainings) == 1
    expected = classifier(str(tmp_path)).fit(texts[:12], labels[:12]).decision_function(texts)
    assert np.array_equal(found, expected)


def test_frozen__model_that_was_fitted_again__is_the_new_one(tiny, texts):
    mlm = mlm_of(tiny()).fit(texts)
    frozen = FrozenEstimator(mlm)
    before = LayerPoolFeaturizer(frozen, device="cpu").fit_transform(texts)
    mlm.set_params(random_state=1).fit(texts)
    assert not np.allclose(LayerPoolFeaturizer(frozen, device="cpu").fit_transform(texts), before, atol=1e-3)


def test_copies__of_a_classifier__predict_the_same_and_can_be_fitted_again(tiny, texts, labels, tmp_path):
    clf = classifier(mlm_of(tiny())).fit(texts, labels)
    clf.save(tmp_path)
    expected = clf.decision_function(texts)
    for again in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf), MaxPoolBERTClassifier.load(tmp_path)):
        assert np.array_equal(again.decision_function(texts), expected)
        assert isinstance(again.model, MaskedLanguageModel)
        assert again.model.get_params() == clf.model.get_params()
        assert np.array_equal(again.fit(texts, labels).decision_function(texts), expected)
    assert not hasattr(clone(clf), "classes_")


@pytest.mark.parametrize("frozen", [True, False])
def test_save__what_json_cannot_hold__is_left_out_with_a_warning(tiny, texts, labels, tmp_path, frozen):
    model = FrozenEstimator(mlm_of(tiny()).fit(texts)) if frozen else mlm_of(tiny(), mask_weights=np.ones_like)
    clf = classifier(model).fit(texts, labels)
    with pytest.warns(UserWarning, match="Not saved, because JSON cannot hold them: model"):
        clf.save(tmp_path)
    again = MaxPoolBERTClassifier.load(tmp_path)
    assert again.model is None
    assert np.array_equal(again.decision_function(texts), clf.decision_function(texts))


def test_load__folder_that_names_another_class__is_refused():
    from skbert.errors import SavedEstimatorError
    from skbert.estimators._persistence import _parameter_from_json

    for name in ("StabilityStudy", "compute", "__loader__", "nothing"):
        with pytest.raises(SavedEstimatorError, match="which skbert does not have"):
            _parameter_from_json({"__estimator__": name, "parameters": {}})


def test_warm_start__other_parameters_of_the_model__are_refused(tiny, texts, labels):
    clf = classifier(mlm_of(tiny()), warm_start=True).fit(texts, labels).fit(texts, labels)
    assert clf.n_iter_ == 2
    with pytest.raises(ValueError, match="model changed since"):
        clf.set_params(model__mask_rate=0.3).fit(texts, labels)


@pytest.mark.parametrize("parameter", [{"pretrained_decay": 0.1}, {"mixout": 0.5}])
def test_pretrained_weights__are_those_after_the_training_of_the_model(tiny, texts, labels, tmp_path, parameter):
    mlm_of(tiny()).fit(texts).to_transformers(tmp_path)
    expected = classifier(str(tmp_path), **parameter).fit(texts, labels).decision_function(texts)
    clf = classifier(mlm_of(tiny()), warm_start=True, **parameter).fit(texts, labels)
    assert np.array_equal(clf.decision_function(texts), expected)
    clear_trained()
    with pytest.raises(ValueError, match="they are gone"):
        clf.fit(texts, labels)


def test_count_layers_and_hashes__before_a_fit__are_those_of_the_encoder_at_the_start(tiny):
    plain, nested = classifier(tiny()), classifier(mlm_of(tiny()))
    assert nested.count_layers() == plain.count_layers() == 4
    assert nested.encoder_hashes() == plain.encoder_hashes()


def test_hashes__of_a_fitted_model__are_its_own(tiny, texts):
    mlm = mlm_of(tiny()).fit(texts)
    assert mlm.encoder_hashes()[0] != clone(mlm).encoder_hashes()[0]
    assert classifier(mlm).encoder_hashes() == classifier(tiny()).encoder_hashes()
    assert classifier(FrozenEstimator(mlm)).encoder_hashes() == mlm.encoder_hashes()


def test_probe__of_a_classifier_on_it__skips_its_layers(tiny, texts, labels):
    probe = SkipLayerProbe(classifier(mlm_of(tiny())), cv=2, spans="single", n_permutations=9).fit(texts, labels)
    assert probe.scores_.shape == (4,)


def test_study__before_and_after__is_one_line(tiny, texts, labels, trainings):
    variants = {"before": {}, "after": {"model": mlm_of(tiny())}}
    study = StabilityStudy(classifier(tiny()), variants, seeds=2, baselines=(), random_state=0).fit(texts, labels)
    assert len(trainings) == 2
    assert study.compare("after", "before").n == 2
