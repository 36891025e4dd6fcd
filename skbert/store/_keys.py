"""The key of a stored text: a hash of everything on which its hidden states depend, and of nothing else."""

from __future__ import annotations

import hashlib
import json

from skbert.store._in_folder import KEY_BYTES

FORMAT = 1
# Config entries that do not affect what an encoder computes in eval mode.
_IRRELEVANT = ("_name_or_path", "architectures", "transformers_version", "id2label", "label2id")


def encoder_key(weights_sha256, config, path, precision):
    """Hash of an encoder and of how it runs.

    Parameters
    ----------
    weights_sha256 : str
        Hash of the weights file.
    config : dict
        Config of the transformers model.
    path : list of int or None
        The layers that run; None means all layers once.
    precision : {"fp32", "bf16"}
        Number format of matrix products.

    Returns
    -------
    bytes

    Notes
    -----
    The name and the revision of the encoder are part of the key through its weights. The
    tokenizer and ``max_length`` are part of it through the token ids, which `text_keys` adds.
    So two names of the same encoder share what is stored. Two values of ``max_length``
    share it too if they cut a text in the same way.
    """
    config = {name: value for name, value in config.items() if name not in _IRRELEVANT and "dropout" not in name}
    content = [FORMAT, weights_sha256, config, path, precision]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()


def text_keys(encoder, tokens):
    """Keys of texts for an encoder.

    Parameters
    ----------
    encoder : bytes
        Hash from `encoder_key`.
    tokens : TokenizedTexts
        Token ids of the texts.

    Returns
    -------
    list of bytes
    """
    keys = []
    for i, ids in enumerate(tokens.input_ids):
        digest = hashlib.blake2b(encoder, digest_size=KEY_BYTES)
        digest.update(len(ids).to_bytes(8, "little"))
        digest.update(ids)
        if tokens.token_type_ids is not None:
            digest.update(tokens.token_type_ids[i])
        keys.append(digest.digest())
    return keys
