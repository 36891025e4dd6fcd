"""What a stored text is found by: hashes of all that its hidden states depend on, and of nothing else."""

from __future__ import annotations

import hashlib
import json

from skbert.store._in_folder import KEY_BYTES

FORMAT = 1
# Entries of a config that do not bear on what an encoder computes in eval mode.
_IRRELEVANT = ("_name_or_path", "architectures", "transformers_version", "id2label", "label2id")


def encoder_key(weights_sha256, config, path, precision):
    """Hash of an encoder and of how it is run.

    Parameters
    ----------
    weights_sha256 : str
        Hash of the file of the weights.
    config : dict
        Of the transformers model.
    path : list of int or None
        The layers that run; None means all, once.
    precision : {"fp32", "bf16"}

    Returns
    -------
    bytes

    Notes
    -----
    The name and the revision of the encoder act through its weights, the tokenizer and
    ``max_length`` through the token ids that `text_keys` adds. So two names of one
    encoder, and two limits that cut a text alike, share what is stored.
    """
    config = {name: value for name, value in config.items() if name not in _IRRELEVANT and "dropout" not in name}
    content = [FORMAT, weights_sha256, config, path, precision]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()


def text_keys(encoder, tokens):
    """Keys of texts.

    Parameters
    ----------
    encoder : bytes
        From `encoder_key`.
    tokens : TokenizedTexts

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
