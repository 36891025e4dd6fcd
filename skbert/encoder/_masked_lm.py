"""Masked language models: a pretrained encoder with the output layer that predicts hidden tokens.

All families have the same output layer, under different names: with h a hidden state,

    logits = decoder(LayerNorm(act(W h + b)))

where the weight of the decoder is the table of token embeddings (tied).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from skbert.compute import isolated
from skbert.encoder._loading import LoadedEncoder, copy_into_memory, folder_of, load_encoder, make_config, quiet
from skbert.encoder.families import make_runner
from skbert.errors import ModelNotFoundError

# Above this value, the activations that are in use return their input, bit by bit.
_LINEAR_FROM = 8.0


@dataclass(frozen=True)
class OutputLayer:
    """The parts of the output layer of a masked language model.

    Attributes
    ----------
    dense : nn.Linear
        W and b.
    activation : callable
        The activation after them.
    norm : nn.LayerNorm
        The norm after that.
    decoder : nn.Linear
        Logits from normed vectors; its weight is the table of token embeddings.
    """

    dense: nn.Linear
    activation: object
    norm: nn.LayerNorm
    decoder: nn.Linear

    def __call__(self, states):
        """Logits (n, vocabulary) for hidden states (n, width)."""
        # The activation may work far from 0, where bf16 is too coarse. These rows are few.
        with torch.autocast(states.device.type, enabled=False):
            hidden = self.norm(self.activation(self.dense(states.float())))
        return self.decoder(hidden)


def _bert_layer(model):
    transform = model.cls.predictions.transform
    return transform.dense, transform.transform_act_fn, transform.LayerNorm


def _roberta_layer(model):
    from transformers.activations import gelu

    return model.lm_head.dense, gelu, model.lm_head.layer_norm


_LAYERS = {
    "bert": _bert_layer,
    "hybridbert": _bert_layer,
    "deberta-v2": _bert_layer,
    "roberta": _roberta_layer,
    "xlm-roberta": _roberta_layer,
    "camembert": _roberta_layer,
    "distilbert": lambda model: (model.vocab_transform, model.activation, model.vocab_layer_norm),
    "albert": lambda model: (model.predictions.dense, model.predictions.activation, model.predictions.LayerNorm),
    "electra": lambda model: (
        model.generator_predictions.dense,
        model.generator_predictions.activation,
        model.generator_predictions.LayerNorm,
    ),
    "modernbert": lambda model: (model.head.dense, model.head.act, model.head.norm),
}


def output_layer(model):
    """The `OutputLayer` of a masked language model of transformers.

    Raises
    ------
    NotImplementedError
        skbert does not know where this family has its output layer.
    """
    kind = model.config.model_type
    if kind not in _LAYERS or (kind == "deberta-v2" and not hasattr(model, "cls")):
        raise NotImplementedError(
            f"skbert does not know the masked-LM output layer of a {kind!r} model; it knows {', '.join(_LAYERS)}."
        )
    return OutputLayer(*_LAYERS[kind](model), model.get_output_embeddings())


@torch.no_grad()
def start_as_identity(model):
    """Make the output layer of `model` compute ``decoder(LayerNorm(h))``, with a bias of 0 in the decoder.

    W becomes the identity; where the embeddings are narrower than the layers, it undoes the projection between them.
    The layer has an activation after it, which no config can switch off in most families. So b becomes a large
    constant: there the activation returns its input, and the LayerNorm removes the constant. The model stays one that
    transformers can load.

    Raises
    ------
    ValueError
        The activation does not return large inputs as they are.
    """
    layer = output_layer(model)
    dense = layer.dense
    project = _projection(model.base_model)
    if project is None:
        nn.init.eye_(dense.weight)
    else:
        dense.weight.copy_(torch.linalg.pinv(project.weight))
    if dense.bias is None:  # ModernBERT, whose config has an entry for this activation alone
        model.config.classifier_activation = "linear"
        model.head.act = nn.Identity()
    else:
        high = _LINEAR_FROM + 2 * float(dense.weight.norm(dim=1).max()) * _largest_state(model.base_model)
        dense.bias.fill_(high / 2 + _LINEAR_FROM / 2)
        far = torch.linspace(_LINEAR_FROM, high, 99)
        if not torch.equal(layer.activation(far), far):
            raise ValueError(
                f"head='identity' needs an activation that returns large inputs as they are, which {layer.activation} "
                "does not. Use head='random'."
            )
        if project is not None and project.bias is not None:
            dense.bias -= dense.weight @ project.bias
    nn.init.ones_(layer.norm.weight)
    for bias in (layer.norm.bias, layer.decoder.bias):
        if bias is not None:
            nn.init.zeros_(bias)


def _projection(encoder):
    """The linear layer from embeddings to wider layers, or None."""
    within = getattr(encoder, "encoder", None)
    return getattr(encoder, "embeddings_project", None) or getattr(within, "embedding_hidden_mapping_in", None)


def _largest_state(encoder):
    """A bound for the norm of hidden states after a LayerNorm: of γ x + β where x has norm √width."""
    norms = [module for module in encoder.modules() if isinstance(module, nn.LayerNorm)]
    bounds = [
        math.sqrt(len(norm.weight)) * norm.weight.abs().max() + (0 if norm.bias is None else norm.bias.norm())
        for norm in norms
    ]
    return float(max(bounds))


@dataclass(frozen=True)
class LoadedMaskedLM:
    """A masked language model to train, and the encoder that it came from.

    Attributes
    ----------
    model : transformers model
        The model with its output layer, in fp32 on the CPU; it belongs to the caller.
    encoder : LoadedEncoder
        The encoder as it is on disk, with its tokenizer.
    has_head : bool
        Whether the output layer was pretrained; else it is random.
    """

    model: nn.Module
    encoder: LoadedEncoder
    has_head: bool


def load_masked_lm(model, revision=None, seed=0):
    """Load an encoder with its output layer; a missing output layer is initialised at random.

    Parameters
    ----------
    model : str or path
        A Hub id, a local folder, or ``"minilm"``.
    revision : str, default=None
        Branch, tag or commit of the Hub repository.
    seed : int, default=0
        Seed of a new output layer.

    Returns
    -------
    LoadedMaskedLM

    Raises
    ------
    ModelNotFoundError
        As in `load_encoder`.
    ValueError
        The model is not of a family that can be a masked language model, or its tokenizer has no mask token.
    """
    from transformers import AutoModelForMaskedLM

    loaded = load_encoder(model, revision)
    kind = loaded.model.config.model_type
    if kind not in _LAYERS:
        raise ValueError(
            f"{loaded.name!r} is a {kind!r} model, which does not predict masked tokens. Masked language models of "
            f"these families can be trained: {', '.join(_LAYERS)}."
        )
    if loaded.tokenizer.mask_token_id is None:
        raise ValueError(f"The tokenizer of {loaded.name!r} has no mask token, so no token can be hidden.")
    folder = folder_of(loaded.name, revision)
    try:
        with quiet(), isolated(seed):
            found, info = AutoModelForMaskedLM.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, RuntimeError) as error:
        raise ModelNotFoundError(f"The encoder {loaded.name!r} in {folder} could not be loaded: {error}") from error
    copy_into_memory(found)
    prefix = f"{found.base_model_prefix}."
    missing = [name for name in info["missing_keys"] if not name.startswith(prefix)]
    _keep_pooler(found, loaded.model)
    return LoadedMaskedLM(found.eval(), loaded, not missing)


def _keep_pooler(model, encoder):
    """Give `model` the pretrained pooler that a masked language model has no use for, so that it is not lost."""
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None and getattr(model.base_model, "pooler", None) is None:
        model.base_model.pooler = copy.deepcopy(pooler)
        if hasattr(encoder, "pooler_activation"):  # ALBERT, where it is not part of the pooler
            model.base_model.pooler_activation = encoder.pooler_activation


def build_masked_lm(config, state_dict):
    """Build a masked language model from its config and the result of `masked_lm_weights`."""
    from transformers import AutoModel, AutoModelForMaskedLM

    with quiet(), isolated(0):
        model = AutoModelForMaskedLM.from_config(copy.deepcopy(config))
        if any(name.startswith(f"{model.base_model_prefix}.pooler.") for name in state_dict):
            _keep_pooler(model, AutoModel.from_config(copy.deepcopy(config)))
    missing, unexpected = model.load_state_dict(state_dict, strict=False)
    lost = set(missing) & set(masked_lm_weights(model))
    if lost or unexpected:
        raise ModelNotFoundError(f"These weights do not fit the model: {sorted(lost)[:1] or unexpected[:1]}.")
    return model.eval()


def new_masked_lm(content, seed):
    """A masked language model with random weights, from the entries of its config."""
    from transformers import AutoModelForMaskedLM

    config = make_config(content)
    with quiet(), isolated(seed):
        return AutoModelForMaskedLM.from_config(config).eval()


def masked_lm_weights(model):
    """The weights of `model` by name, each once: tied weights have one name."""
    once = {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()}
    return {name: tensor for name, tensor in model.state_dict().items() if name in once}


def save_masked_lm(model, folder):
    """Write the config and the weights of a masked language model to `folder`, as transformers does."""
    with quiet():
        model.save_pretrained(folder)


def runner_of(model):
    """The `LayerRunner` of the encoder in a masked language model."""
    return make_runner(model.base_model)
