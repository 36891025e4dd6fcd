"""A BERT whose layers do what they are told: chosen layers carry chosen words to [CLS], the others do nothing."""

from __future__ import annotations

import torch
from transformers import AutoModel, AutoTokenizer

from tests.helpers.tiny import tiny_config, write_tiny

N_LAYERS = 4


def write_planted(folder, carries):
    """Write an encoder of 4 layers to `folder`; returns the path as str.

    Parameters
    ----------
    folder : path
    carries : dict of str to collection of int
        For each word, the layers that copy its presence from its token to [CLS]. A layer that carries
        nothing adds nothing: a LayerNorm of what is normalised already leaves it as it is.
    """
    folder = write_tiny(folder, "bert", n_layers=N_LAYERS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = tiny_config("bert", len(tokenizer), n_layers=N_LAYERS, pad_token_id=tokenizer.pad_token_id)
    # Without it, a second LayerNorm would not be the identity.
    config.layer_norm_eps = 1e-12
    model = AutoModel.from_config(config).eval()
    width = config.hidden_size
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
        # Dimensions come in pairs of opposite sign, so that the mean that LayerNorm takes away is zero.
        plus, minus = torch.arange(0, width, 2), torch.arange(1, width, 2)
        table = model.embeddings.word_embeddings.weight
        table[:, plus[0]], table[:, minus[0]] = 1.0, -1.0
        for i, (word, layers) in enumerate(carries.items()):
            told, kept = 1 + i, 1 + len(carries) + i
            row = tokenizer.convert_tokens_to_ids(word)
            table[row, plus[told]], table[row, minus[told]] = 3.0, -3.0
            for layer in layers:
                attention = model.encoder.layer[layer].attention
                # Queries and keys are zero: [CLS] attends to all tokens alike.
                attention.self.value.weight[kept, plus[told]] = 1.0
                attention.output.dense.weight[plus[kept], kept] = 4.0
                attention.output.dense.weight[minus[kept], kept] = -4.0
    model.save_pretrained(folder)
    return folder
