"""The model from which pretraining starts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from skbert._shared import warn
from skbert.encoder import is_sentence_encoder, load_masked_lm, longest_input, start_as_identity
from skbert.pretraining._from_scratch import make_model


@dataclass(frozen=True)
class Start:
    """A masked language model that is to be trained, and its tokenizer.

    Attributes
    ----------
    model : transformers model
        The model, with its output layer.
    tokenizer : transformers tokenizer
        Its tokenizer.
    tokenizer_files : dict of str to bytes
        The files from which the tokenizer can be built again.
    """

    model: nn.Module
    tokenizer: object
    tokenizer_files: dict[str, bytes]

    def max_length(self, asked):
        """The maximum number of tokens of a text: `asked`, but no more than the model takes."""
        longest = longest_input(self.model.base_model, self.tokenizer)
        return longest if asked is None else min(int(asked), longest)


def start_from_scratch(architecture, tokenizer, files, head, max_length, seed):
    """Start from random weights.

    Parameters
    ----------
    architecture : Architecture
        Size of the model.
    tokenizer : transformers tokenizer
        Its tokenizer.
    files : dict of str to bytes
        The files from which the tokenizer can be built again.
    head : {"identity", "random"}
        How the output layer starts.
    max_length : int or None
        Maximum number of tokens of a text.
    seed : int
        Seed of the weights.

    Returns
    -------
    Start
    """
    model = make_model(architecture, tokenizer, max_length, seed)
    if head == "identity":
        start_as_identity(model)
    return Start(model, tokenizer, files)


def pretrained_start(name, revision, head, seed):
    """Start from a pretrained encoder; without an output layer of its own it gets a new one.

    Parameters
    ----------
    name : str or path
        A Hub id, a local folder, or ``"minilm"``.
    revision : str or None
        Branch, tag or commit of the Hub repository.
    head : {"identity", "random"}
        How a new output layer starts.
    seed : int
        Seed of a new output layer.

    Returns
    -------
    Start
    """
    loaded = load_masked_lm(name, revision, seed)
    if not loaded.has_head and head == "identity":
        start_as_identity(loaded.model)
    if is_sentence_encoder(name, revision):
        warn(
            f"{name!r} is a sentence encoder (its folder has modules.json or 1_Pooling). Masked-language-model "
            "training may damage what it knows about whole sentences: compare the results before and after, or "
            "start from a base language model."
        )
    return Start(loaded.model, loaded.encoder.tokenizer, loaded.encoder.tokenizer_files)
