"""What tests of masked language models share: a few texts, and the same batch as transformers reads it."""

from __future__ import annotations

import torch
from transformers import AutoModelForMaskedLM

from skbert.encoder import load_encoder
from skbert.pretraining._corpus import make_corpus
from skbert.pretraining._net import MaskedNet
from skbert.pretraining._vocabulary import Vocabulary
from skbert.text import check_texts, tokenize

TEXTS = [
    f"{opening} {topic}"
    for opening in ("where is the", "please", "why my", "it is a good", "the", "when is it, no")
    for topic in ("parcel late two", "money back now", "code app login broken", "lamp")
]


def corpus_of(folder, texts=TEXTS, max_length=64, numbers=None):
    """The corpus of texts in the tokens of a model, and its vocabulary."""
    loaded = load_encoder(folder)
    vocabulary = Vocabulary.of(loaded.tokenizer, loaded.model.config.vocab_size)
    tokens = tokenize(check_texts(texts), loaded.tokenizer, max_length)
    return make_corpus(tokens, vocabulary.special, numbers), vocabulary


def padded(masked):
    """Inputs and labels of masked texts as transformers reads them."""
    longest = masked.longest
    shape = (len(masked), longest)
    ids = torch.full(shape, masked.tokens.pad_token_id)
    attention, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    types = torch.zeros(shape, dtype=torch.long)
    for row, found in enumerate(masked.tokens.input_ids):
        ids[row, : len(found)] = torch.from_numpy(found)
        attention[row, : len(found)] = 1
        labels[row, torch.from_numpy(masked.places[row])] = torch.from_numpy(masked.targets[row])
        if masked.tokens.token_type_ids is not None:
            types[row, : len(found)] = torch.from_numpy(masked.tokens.token_type_ids[row])
    inputs = {"input_ids": ids, "attention_mask": attention, "labels": labels}
    return inputs if masked.tokens.token_type_ids is None else {**inputs, "token_type_ids": types}


def write_with_head(folder, source, seed=0):
    """Write the encoder in `source` with a random output layer to `folder`, as a masked language model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForMaskedLM.from_pretrained(source)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and not name.startswith(model.base_model_prefix):
                parameter.add_(torch.linspace(-0.5, 0.5, len(parameter)))
    model.save_pretrained(folder)
    load_encoder(source).tokenizer.save_pretrained(folder)
    return str(folder)


def leave_little_memory(monkeypatch):
    """Let training run out of memory with more than three texts at once."""
    losses = MaskedNet.losses

    def with_little_memory(net, batch, places, targets):
        if len(batch) > 3 and net.training:
            raise torch.OutOfMemoryError
        return losses(net, batch, places, targets)

    monkeypatch.setattr(MaskedNet, "losses", with_little_memory)
