"""Fine-tuning recipes of the literature, as constructor parameters.

A recipe says how to train, not how to read the encoder: it sets no pooling, so the
same recipe trains a [CLS] baseline and a MaxPoolBERT. Every recipe names the same
parameters, with the default where the recipe has nothing to say, so that going from
one to another by `set_params`, or in a grid search, leaves nothing of the former
behind.

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

# Zhang et al. (2021), from the authors' repository; their remedies differ from it in one parameter each.
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
    "The optimizer's epsilon is 1e-6 (theirs 1e-8), and texts are cut only where the encoder ends or at `max_length` "
    "(theirs 128). They evaluate ten times a run; here the weights are those of the last epoch, or those of early "
    "stopping."
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
    # For what depends on the depth of the encoder: n_layers → parameters.
    by_depth: object = None


_RECIPES = {
    "devlin2019": _Recipe(
        paper=(
            "Devlin, Chang, Lee, Toutanova (2019). BERT: Pre-training of Deep Bidirectional Transformers for Language "
            "Understanding. NAACL 2019. arXiv:1810.04805. As run for a baseline by " + _MOSBACH_PAPER
        ),
        reproduced=(
            "Three epochs by the optimizer of the first BERT code, whose steps are not corrected for bias; batch size, "
            "learning rate, warm-up and weight decay of the configurations of Mosbach et al. It is here to be compared "
            "with: on few data many of its runs fail."
        ),
        not_reproduced=(
            "Devlin et al. chose learning rate, batch size and epochs for each task on its development set; here they "
            "are fixed. Their head has the pooler before it: pass head='pooler' for that."
        ),
        parameters={**_MOSBACH, "max_epochs": 3, "bias_correction": False},
    ),
    "mosbach2021": _Recipe(
        paper=_MOSBACH_PAPER,
        reproduced=(
            "Many epochs at a small learning rate with warm-up over the first tenth of the steps, linear decay, and "
            "bias-corrected AdamW (epsilon 1e-6, weight decay 0.01 save on biases and LayerNorm). These are also the "
            "defaults of the estimators."
        ),
        not_reproduced=(
            "They took the best learning rate out of 1e-5, 2e-5 and 3e-5 and reported the best checkpoint on the "
            "development set, three evaluations an epoch; here the rate is fixed and the weights are those of the last "
            "epoch. Texts are not cut at 128 tokens unless `max_length` says so. Made for BERT-large: small encoders "
            "want a larger learning rate."
        ),
        parameters=_MOSBACH,
    ),
    "zhang2021_reinit": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Bias-corrected AdamW, three epochs, and the top five layers drawn anew (weights from "
            "N(0, initializer_range²), biases 0, LayerNorm 1 and 0), as in the sample command of the authors."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT
            + " They draw the pooler anew too: that happens with head='pooler'. Five of the 24 layers of "
            "BERT-large are few, of a small encoder they are most: set `reinit_layers` to suit."
        ),
        parameters={**_ZHANG, "reinit_layers": 5},
    ),
    "zhang2021_llrd": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Learning rates that fall by 0.95 from layer to layer, going down: head and pooler at the full rate, the "
            "top layer at 0.95 of it, the embeddings below L layers at its (L + 1)-th power of 0.95."
        ),
        not_reproduced=_ZHANG_LEFT_OUT,
        parameters={**_ZHANG, "layer_decay": 0.95},
    ),
    "mixout2020": _Recipe(
        paper=(
            "Lee, Cho, Kang (2020). Mixout: Effective Regularization to Finetune Large-scale Pretrained Language "
            "Models. ICLR 2020. arXiv:1909.11299. In the setting of " + _ZHANG_PAPER
        ),
        reproduced=(
            "Mixout with the probability 0.1 that Zhang et al. compare it with, in place of all dropout; each input "
            "neuron's weights are mixed with the pretrained ones, biases are not."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT + " The learning rates, lengths and mixing probabilities of Lee et al. themselves are not "
            "taken over: search over `mixout`. Two things are different here on purpose: the gradient in the code of "
            "Lee et al. lacks the factor 1 / (1 - p), and that of Zhang et al. mixes the new head with its own random "
            "start."
        ),
        parameters={**_ZHANG, "mixout": 0.1},
    ),
    "pretrained_decay": _Recipe(
        paper=_ZHANG_PAPER,
        reproduced=(
            "Decoupled decay towards the pretrained weights, w ← w - lr·λ·(w - w_pre) with λ = 1e-3, taken before each "
            "step of Adam."
        ),
        not_reproduced=(
            _ZHANG_LEFT_OUT + " In their code the head decays towards its own random start, by an index that is never "
            "reached, and ordinary weight decay is switched off without a word; here what is new is not pulled, biases "
            "and LayerNorm of the encoder are, and `weight_decay` stays what it is set to."
        ),
        parameters={**_ZHANG, "pretrained_decay": 1e-3},
    ),
    "sajjad2020_top": _Recipe(
        paper=(
            "Sajjad, Dalvi, Durrani, Nakov (2023; first version 2020). On the Effect of Dropping Layers of Pre-trained "
            "Transformer Models. arXiv:2004.03844."
        ),
        reproduced=(
            "The topmost layers of the pretrained encoder are dropped, and what is left is fine-tuned: a quarter of "
            "them, as the three of twelve in the authors' example command."
        ),
        not_reproduced=(
            "Their training settings could not be checked; these are those of mosbach2021. The path counts layers, so "
            "give `get` the encoder's `n_layers`. Their other strategies are other paths: bottom, symmetric, alternate."
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
            "Some layers of the pretrained encoder are repeated right behind themselves, each repeat with weights of "
            "its own, and the deeper encoder is fine-tuned."
        ),
        not_reproduced=(
            "Which layers they repeat, how often, and their training settings could not be checked: here it is the top "
            "quarter, once each, trained as in mosbach2021. The path counts layers, so give `get` the encoder's "
            "`n_layers`."
        ),
        parameters=_MOSBACH,
        by_depth=_repeat_top_quarter,
    ),
    "few_data": _Recipe(
        paper="None; chosen by measurement (docs/reports/few_data.md, benchmarks/few_data.py).",
        reproduced=(
            "What did best with MiniLM, a 6-layer encoder, out of twelve variations of mosbach2021 on five draws each "
            "of TREC questions and movie reviews; on CoLA none of them was better than chance. It is mosbach2021 at "
            "fifteen times the learning rate, with rates that fall by 0.7 from layer to layer."
        ),
        not_reproduced=(
            "Chosen on one encoder and, in effect, two data sets; its nearest rivals were as good within the noise. "
            "For an encoder of the size of BERT-large start from mosbach2021."
        ),
        parameters={**_MOSBACH, "learning_rate": 3e-4, "layer_decay": 0.7},
    ),
}


def names() -> list[str]:
    """List the recipes, in the order of their years.

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


def get(name: str, *, n_layers: int = 12) -> dict[str, Any]:
    """The constructor parameters of a recipe.

    Parameters
    ----------
    name : str
        One of `names`.
    n_layers : int, default=12
        Transformer layers of the encoder, for recipes that set `layer_path`; 12 is BERT-base.

    Returns
    -------
    dict
        A fresh one, with the same keys for every recipe: change it as you like.

    Raises
    ------
    ValueError
        There is no such recipe, or `n_layers` is no positive int.

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
    own = {**recipe.parameters, **(recipe.by_depth(n_layers) if recipe.by_depth else {})}
    return copy.deepcopy({**_defaults(), **own})


def describe(name: str) -> str:
    """What a recipe is: the paper, what of it is reproduced, what is not, and the parameters that it sets.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    str

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
        raise ValueError(f"There is no recipe {name!r}; there are {', '.join(_RECIPES)}.")
    return _RECIPES[name]


def _defaults():
    from skbert.estimators import RECIPE_PARAMETERS, MaxPoolBERTClassifier

    # A recipe sets all that any of them may set: the default fills in what it does not name.
    signature = inspect.signature(MaxPoolBERTClassifier).parameters
    return {name: signature[name].default for name in RECIPE_PARAMETERS}
