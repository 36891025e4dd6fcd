"""Fine-tuning recipes of the literature, as constructor parameters.

A recipe says how to train, not how to read the encoder. It sets no pooling, so the
same recipe trains a [CLS] baseline or a MaxPoolBERT. All recipes contain the same
parameters, with the default value for those that a recipe does not define. So when
you change from one recipe to another by `set_params`, or in a grid search, no setting
of the earlier recipe remains.

Examples
--------
>>> from skbert import MaxPoolBERTClassifier, recipes
>>> clf = MaxPoolBERTClassifier("minilm", **recipes.get("mosbach2021"))
>>> clf.max_epochs, clf.learning_rate
(20, 2e-05)
>>> # GridSearchCV takes a list of grids; every value of a grid is a list.
>>> grids = [{key: [value] for key, value in recipes.get(name).items()} for name in recipes.names()]
"""

from __future__ import annotations

import copy
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

# Zhang et al. (2021), from the authors' repository. Each of their methods differs from these in one parameter.
_ZHANG = {
    "max_epochs": 3,
    "batch_size": 32,
    "learning_rate": 2e-5,
    "weight_decay": 0.0,
    "warmup_ratio": 0.1,
    "max_grad_norm": 1.0,
    "bias_correction": True,
}
_ZHANG_PAPER = (
    "Zhang, Wu, Katiyar, Weinberger, Artzi (2021). Revisiting Few-sample BERT Fine-tuning. ICLR 2021. arXiv:2006.05987."
)
_ZHANG_LEFT_OUT = (
    "The optimizer's epsilon is 1e-6 (theirs 1e-8), and texts are cut only at the limit of the encoder or at "
    "`max_length` (theirs 128). They evaluate ten times per run; here the weights are those of the last epoch, or "
    "those of early stopping."
)

# Mosbach et al. (2021), from the configurations of the authors' repository.
_MOSBACH = {
    "max_epochs": 20,
    "batch_size": 16,
    "learning_rate": 2e-5,
    "weight_decay": 0.01,
    "warmup_ratio": 0.1,
    "max_grad_norm": 1.0,
    "bias_correction": True,
}
_MOSBACH_PAPER = (
    "Mosbach, Andriushchenko, Klakow (2021). On the Stability of Fine-tuning BERT: Misconceptions, Explanations, and "
    "Strong Baselines. ICLR 2021. arXiv:2006.04884."
)


# For small encoders; until 2026-11 this was the recipe few_data.
_FEW_DATA_FINE_TUNING = {**_MOSBACH, "learning_rate": 3e-4, "layer_decay": 0.7}


def _drop_top_quarter(n_layers):
    return {"layer_path": tuple(range(n_layers - n_layers // 4))}


def _repeat_top_quarter(n_layers):
    first = n_layers - n_layers // 4
    repeated = [index for top in range(first, n_layers) for index in (top, top)]
    return {"layer_path": (*range(first), *repeated)}


@dataclass(frozen=True)
class _Recipe:
    paper: str
    reproduced: str
    not_reproduced: str
    parameters: dict
    # For parameters that depend on the depth of the encoder: n_layers → parameters.
    by_depth: object = None
    # The parameters for a regressor, where those above need classes.
    for_regression: dict | None = None


_RECIPES = {
    "devlin2019": _Recipe(
        paper=(
            "Devlin, Chang, Lee, Toutanova (2019). BERT: Pre-training of Deep Bidirectional Transformers for Language "
            "Understanding. NAACL 2019. arXiv:1810.04805. In the form used as a baseline by " + _MOSBACH_PAPER
        ),
        reproduced=(
            "Three epochs with the optimizer of the original BERT code, which has no bias correction; batch size, "
            "learning rate, warm-up and weight decay from the configurations of Mosbach et al. It is included for "
            "comparison: with few data, many of its runs fail."
        ),
        not_reproduced=(
            "Devlin et al. chose learning rate, batch size and epochs for each task on its development set; here they "
            "are fixed. Their head includes the pooler: pass head='pooler' for that."
        ),
        parameters={**_MOSBACH, "max_epochs": 3, "bias_correction": False},
    ),
    "mosbach2021": _Recipe(
        paper=_MOSBACH_PAPER,
        reproduced=(
            "Many epochs at a small learning rate with warm-up over the first tenth of the steps, linear decay, and "
            "bias-corrected AdamW (epsilon 1e-6, weight decay 0.01 except on biases and LayerNorm). These are also the "
            "defaults of the estimators."
        ),
        not_reproduced=(
            "They chose the best learning rate from 1e-5, 2e-5 and 3e-5, and they reported the best checkpoint on the "
            "development set, with three evaluations per epoch. Here the rate is fixed and the weights are those of "
            "the last epoch. Texts are not cut at 128 tokens unless `max_length` is set. The values are for "
            "BERT-large: small encoders need a larger learning rate."
        ),
        parameters=_MOSBACH,
    ),
    "zhang2021_reinit": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Bias-corrected AdamW, three epochs, and the top five layers re-initialised (weights from "
            "N(0, initializer_range²), biases 0, LayerNorm 1 and 0), as in the example command of the authors."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT
            + " They also re-initialise the pooler; here this happens with head='pooler'. Five layers are few of the "
            "24 layers of BERT-large, but most of a small encoder: choose `reinit_layers` for your encoder."
        ),
        parameters={**_ZHANG, "reinit_layers": 5},
    ),
    "zhang2021_llrd": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Learning rates that are multiplied by 0.95 at each layer, from top to bottom: head and pooler have the "
            "full rate, the top layer has 0.95 times the rate, and the embeddings below L layers have 0.95 to the "
            "power L + 1 times the rate."
        ),
        not_reproduced=_ZHANG_LEFT_OUT,
        parameters={**_ZHANG, "layer_decay": 0.95},
    ),
    "mixout2020": _Recipe(
        paper=(
            "Lee, Cho, Kang (2020). Mixout: Effective Regularization to Finetune Large-scale Pretrained Language "
            "Models. ICLR 2020. arXiv:1909.11299. With the settings of " + _ZHANG_PAPER
        ),
        reproduced=(
            "Mixout with probability 0.1, the value in the comparison of Zhang et al., instead of all dropout. The "
            "weights of each input neuron are mixed with the pretrained weights; biases are not mixed."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT + " The learning rates, lengths and mixing probabilities of Lee et al. themselves are not "
            "used: search over `mixout`. Two differences are intended: the gradient in the code of Lee et al. lacks "
            "the factor 1 / (1 - p), and the code of Zhang et al. also mixes the new head with its own random initial "
            "weights."
        ),
        parameters={**_ZHANG, "mixout": 0.1},
    ),
    "pretrained_decay": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Decoupled decay towards the pretrained weights, w ← w - lr·λ·(w - w_pre) with λ = 1e-3, before each step "
            "of Adam."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT + " In their code, the head decays towards its own random initial weights, because an "
            "index is never reached, and ordinary weight decay is switched off without a warning. Here new parameters "
            "do not decay in this way, biases and LayerNorm of the encoder do, and `weight_decay` keeps its value."
        ),
        parameters={**_ZHANG, "pretrained_decay": 1e-3},
    ),
    "sajjad2020_top": _Recipe(
        paper=(
            "Sajjad, Dalvi, Durrani, Nakov (2023; first version 2020). On the Effect of Dropping Layers of Pre-trained "
            "Transformer Models. arXiv:2004.03844."
        ),
        reproduced=(
            "The top layers of the pretrained encoder are dropped, and the rest is fine-tuned. A quarter of the layers "
            "is dropped, like the three of twelve in the authors' example command."
        ),
        not_reproduced=(
            "Their training settings could not be checked; these are those of mosbach2021. The path depends on the "
            "number of layers, so pass `n_layers` of your encoder to `get`. Their other strategies (bottom, symmetric, "
            "alternate) are other paths."
        ),
        parameters=_MOSBACH,
        by_depth=_drop_top_quarter,
    ),
    "kao2020_duplicate": _Recipe(
        paper=(
            "Kao, Wu, Chi, Hsieh, Lee (2020). BERT's output layer recognizes all hidden layers? Some Intriguing "
            "Phenomena and a simple way to boost BERT. arXiv:2001.09309."
        ),
        reproduced=(
            "Some layers of the pretrained encoder are repeated directly after themselves, each repetition with its "
            "own weights, and the deeper encoder is fine-tuned."
        ),
        not_reproduced=(
            "Which layers they repeat, how often, and their training settings could not be checked. Here the top "
            "quarter is repeated once, and training is as in mosbach2021. The path depends on the number of layers, so "
            "pass `n_layers` of your encoder to `get`."
        ),
        parameters=_MOSBACH,
        by_depth=_repeat_top_quarter,
    ),
    "setfit2022": _Recipe(
        paper=(
            "Tunstall, Reimers, Jo, Bates, Korat, Wasserblat, Pereg (2022). Efficient Few-Shot Learning Without "
            "Prompts. arXiv:2209.11055."
        ),
        reproduced=(
            "Forty pairs per training text, alike and different in turn, in batches of 16; both texts of a pair are "
            "encoded, and the squared error of their cosine to 1 or 0 is minimised in one pass (AdamW, rate 2e-5, "
            "warm-up over a tenth, linear decay). Then a logistic regression on vectors of length 1. This is the "
            "package setfit 1.2 with num_iterations=20; read the encoder as it does: layers=1, token_pooling='mean'."
        ),
        not_reproduced=(
            "The default of the package, which takes all pairs and repeats the rarer kind. The order of pairs follows "
            "`random_state`; in the package it is always the same. The optimizer's epsilon is 1e-6 (theirs 1e-8), and "
            "the vectors of the head always have length 1 (theirs only if the sentence encoder makes them so). With "
            "multi-label targets, texts are alike if all labels are equal (theirs: if any is)."
        ),
        parameters={
            "max_epochs": 0,
            "head_init": "logistic",
            "contrastive_steps": "auto",
            "contrastive_pairs": "setfit",
            "contrastive_loss": "cosine",
            "contrastive_learning_rate": 2e-5,
            "contrastive_batch_size": 16,
            "weight_decay": 0.01,
            "warmup_ratio": 0.1,
            "max_grad_norm": 1.0,
            "bias_correction": True,
        },
        for_regression=_MOSBACH,
    ),
    "few_data": _Recipe(
        paper=(
            "None; chosen by measurement (docs/reports/few_data.md, benchmarks/few_data.py). The idea is that of "
            "setfit2022, with all pairs of a batch in place of drawn pairs."
        ),
        reproduced=(
            "Contrastive steps on balanced batches of 32 texts at a rate of 1e-4: 20 passes over the texts, but 10 to "
            "30 steps, or five passes if that is more. Then a logistic regression on vectors of length 1, seen from "
            "the centre of the classes where all texts have nearly the same direction. Read the encoder by the mean "
            "over the tokens of its last layer: layers=1, token_pooling='mean'. For any other reading, take "
            "few_data_joint."
        ),
        not_reproduced=(
            "Chosen with one encoder, MiniLM, which is itself trained by contrast, and mostly on one dataset; the "
            "centre and the number of steps with few texts also with E5. With tens of classes, logistic regression on "
            "frozen unit vectors was as good or better, at no cost. For a regressor (regression=True), it is "
            "few_data_joint, without the contrastive loss."
        ),
        parameters={
            **_MOSBACH,
            "max_epochs": 0,
            "head_init": "logistic",
            "contrastive_steps": "auto",
            "contrastive_loss": "cosine",
            "contrastive_center": "auto",
            "contrastive_learning_rate": 1e-4,
            "contrastive_batch_size": 32,
        },
        for_regression=_FEW_DATA_FINE_TUNING,
    ),
    "few_data_joint": _Recipe(
        paper="None; chosen by measurement (docs/reports/few_data.md, benchmarks/few_data.py).",
        reproduced=(
            "mosbach2021 with fifteen times the learning rate, rates that are multiplied by 0.7 at each layer from top "
            "to bottom, and the supervised contrastive loss of each batch beside the cross-entropy, with the same "
            "weight. It suits every reading, [CLS] and MaxPoolBERT included. If you read by the mean of the last "
            "layer, few_data is better."
        ),
        not_reproduced=(
            "Chosen with one encoder, MiniLM, and mostly on one dataset. For an encoder of the size of BERT-large, "
            "start from mosbach2021. A regressor has no contrastive loss (regression=True)."
        ),
        parameters={**_FEW_DATA_FINE_TUNING, "contrastive_weight": 1.0},
        for_regression=_FEW_DATA_FINE_TUNING,
    ),
}


def names() -> list[str]:
    """List the names of the recipes, ordered by year.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from skbert import recipes
    >>> "mosbach2021" in recipes.names(), "few_data" in recipes.names()
    (True, True)
    """
    return list(_RECIPES)


def get(name: str, *, n_layers: int = 12, regression: bool = False) -> dict[str, Any]:
    """Return the constructor parameters of a recipe.

    Parameters
    ----------
    name : str
        One of `names`.
    n_layers : int, default=12
        Number of transformer layers of the encoder, for recipes that set `layer_path`; 12 is BERT-base.
    regression : bool, default=False
        Whether the parameters are for a regressor. A recipe with phases that need classes is then without them.

    Returns
    -------
    dict
        A new dict with the same keys for every recipe; you may change it.

    Raises
    ------
    ValueError
        There is no recipe of this name, or `n_layers` is not a positive int.

    Examples
    --------
    >>> from skbert import recipes
    >>> recipe = recipes.get("zhang2021_llrd")
    >>> recipe["layer_decay"], recipe["max_epochs"]
    (0.95, 3)
    >>> set(recipe) == set(recipes.get("few_data", n_layers=6))
    True
    """
    recipe = _find(name)
    if not isinstance(n_layers, int) or isinstance(n_layers, bool) or n_layers < 1:
        raise ValueError(f"n_layers must be an int of at least 1, got {n_layers!r}")
    parameters = recipe.parameters
    if regression and recipe.for_regression is not None:
        parameters = recipe.for_regression
    own = {**parameters, **(recipe.by_depth(n_layers) if recipe.by_depth else {})}
    return copy.deepcopy({**_defaults(), **own})


def describe(name: str) -> str:
    """Describe a recipe: the paper, what is reproduced, what is not reproduced, and the parameters that it sets.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    str
        The description, as text.

    Examples
    --------
    >>> from skbert import recipes
    >>> text = recipes.describe("mosbach2021")
    >>> text.splitlines()[0]
    'mosbach2021'
    >>> all(part in text for part in ("Paper: ", "Reproduced: ", "Not reproduced: "))
    True
    """
    recipe, defaults = _find(name), _defaults()
    own = {key: value for key, value in get(name).items() if value != defaults[key]}
    depth = " (layer_path for an encoder of 12 layers)" if recipe.by_depth else ""
    settings = ", ".join(f"{key}={value!r}" for key, value in own.items()) or "none"
    parts = {
        "Paper": recipe.paper,
        "Reproduced": recipe.reproduced,
        "Not reproduced": recipe.not_reproduced,
        f"Differs from the defaults in{depth}": settings,
    }
    return "\n".join(
        [name, *(textwrap.fill(f"{what}: {text}", 100, subsequent_indent="  ") for what, text in parts.items())]
    )


def _find(name):
    if not isinstance(name, str) or name not in _RECIPES:
        raise ValueError(f"There is no recipe {name!r}; the recipes are {', '.join(_RECIPES)}.")
    return _RECIPES[name]


def _defaults():
    from skbert.estimators import RECIPE_PARAMETERS, MaxPoolBERTClassifier

    # A recipe sets every parameter that any recipe may set; those that it does not define have their default.
    signature = inspect.signature(MaxPoolBERTClassifier).parameters
    return {name: signature[name].default for name in RECIPE_PARAMETERS}
