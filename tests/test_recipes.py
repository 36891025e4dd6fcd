"""The recipes of the literature: what they set, what they say, and that they train."""

import re

import numpy as np
import pytest

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor, recipes
from skbert.encoder import make_runner

NAMES = [
    "devlin2019",
    "mosbach2021",
    "zhang2021_reinit",
    "zhang2021_llrd",
    "mixout2020",
    "pretrained_decay",
    "sajjad2020_top",
    "kao2020_duplicate",
    "setfit2022",
]
OURS = ["few_data", "few_data_joint"]


def test_names__hold_those_of_the_literature():
    assert set(NAMES) <= set(recipes.names())


@pytest.mark.parametrize("name", NAMES)
def test_get__gives_parameters_of_both_estimators_and_no_reading(name):
    parameters = recipes.get(name)
    for estimator in (MaxPoolBERTClassifier, MaxPoolBERTRegressor):
        assert estimator(**parameters).get_params().items() >= parameters.items()
    assert not set(parameters) & set(LayerPoolFeaturizer().get_params()) - {"layer_path"}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("devlin2019", {"max_epochs": 3, "bias_correction": False, "batch_size": 16, "learning_rate": 2e-5}),
        ("mosbach2021", {"max_epochs": 20, "batch_size": 16, "learning_rate": 2e-5, "weight_decay": 0.01}),
        ("zhang2021_reinit", {"reinit_layers": 5, "max_epochs": 3, "batch_size": 32, "weight_decay": 0.0}),
        ("zhang2021_llrd", {"layer_decay": 0.95, "max_epochs": 3, "batch_size": 32, "weight_decay": 0.0}),
        ("mixout2020", {"mixout": 0.1}),
        ("pretrained_decay", {"pretrained_decay": 1e-3}),
        ("sajjad2020_top", {"layer_path": (0, 1, 2, 3, 4, 5, 6, 7, 8)}),
        (
            "setfit2022",
            {
                "contrastive_pairs": "setfit",
                "contrastive_loss": "cosine",
                "contrastive_batch_size": 16,
                "contrastive_learning_rate": 2e-5,
                "head_init": "logistic",
                "max_epochs": 0,
            },
        ),
        ("kao2020_duplicate", {"layer_path": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10, 11, 11)}),
    ],
)
def test_get__sets_what_the_paper_says(name, own):
    assert recipes.get(name).items() >= own.items()


def test_get__switching_leaves_nothing_of_the_former_behind():
    for former in recipes.names():
        for name in recipes.names():
            clf = MaxPoolBERTClassifier(**recipes.get(former)).set_params(**recipes.get(name))
            assert clf.get_params() == MaxPoolBERTClassifier(**recipes.get(name)).get_params()


def test_get__gives_a_fresh_dict_every_time():
    first = recipes.get("mosbach2021")
    first["max_epochs"] = 1
    assert recipes.get("mosbach2021")["max_epochs"] == 20


@pytest.mark.parametrize(
    ("n_layers", "top", "duplicate"),
    [(4, (0, 1, 2), (0, 1, 2, 3, 3)), (6, (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 5)), (1, (0,), (0,))],
)
def test_get__paths_follow_the_depth_of_the_encoder(n_layers, top, duplicate):
    assert recipes.get("sajjad2020_top", n_layers=n_layers)["layer_path"] == top
    assert recipes.get("kao2020_duplicate", n_layers=n_layers)["layer_path"] == duplicate
    assert recipes.get("mosbach2021", n_layers=n_layers)["layer_path"] is None


@pytest.mark.parametrize("name", NAMES)
def test_describe__tells_the_paper_and_what_is_and_is_not_reproduced(name):
    text = recipes.describe(name)
    for word in (name, "Paper:", "arXiv:", "Reproduced:", "Not reproduced:", "Differs from the defaults in"):
        assert word in text
    defaults = MaxPoolBERTClassifier().get_params()
    for key, value in recipes.get(name).items():
        said = re.search(rf"\b{re.escape(f'{key}={value!r}')}", " ".join(text.split()))
        assert bool(said) == (value != defaults[key]), key


@pytest.mark.parametrize("function", [recipes.get, recipes.describe])
@pytest.mark.parametrize("bad", ["mosbach", None, 3, ["mosbach2021"]])
def test_get__unknown_names_are_answered_with_the_known_ones(function, bad):
    with pytest.raises(ValueError, match=r"There is no recipe .*devlin2019.*kao2020_duplicate"):
        function(bad)


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None])
def test_get__wrong_depths_are_refused(bad):
    with pytest.raises(ValueError, match="n_layers must be an int of at least 1"):
        recipes.get("sajjad2020_top", n_layers=bad)


@pytest.mark.parametrize("name", NAMES + OURS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_regression__gives_what_a_regressor_can_use(tiny, texts, name):
    parameters = recipes.get(name, n_layers=4, regression=True)
    assert tuple(parameters) == tuple(recipes.get(name))
    parameters |= {"max_epochs": 1, "reinit_layers": min(parameters["reinit_layers"], 2)}
    reg = MaxPoolBERTRegressor(tiny(), **parameters, random_state=0, device="cpu").fit(texts, np.arange(24.0))
    assert np.isfinite(reg.predict(texts)).all()


@pytest.mark.parametrize("name", NAMES + OURS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_recipe__trains(tiny, texts, labels, name):
    import torch

    parameters = recipes.get(name, n_layers=4)
    parameters |= {"max_epochs": min(2, parameters["max_epochs"]), "reinit_layers": min(parameters["reinit_layers"], 2)}
    clf = MaxPoolBERTClassifier(tiny(), **parameters, random_state=0, device="cpu").fit(texts, labels)
    assert np.isfinite([row["train_loss"] for row in clf.history_]).all()
    n_layers = make_runner(clf._fitted.module(torch.device("cpu")).encoder).n_layers
    assert n_layers == {"sajjad2020_top": 3, "kao2020_duplicate": 5}.get(name, 4)
