"""Tokenizers: loading, the longest input they and the encoder take, and carrying them along as bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skbert.encoder.families import make_runner
from skbert.errors import ModelNotFoundError


def load_tokenizer(name, folder):
    """The tokenizer that lies in `folder`.

    Raises
    ------
    ImportError
        It needs a package that is not installed, as the Japanese ones need MeCab.
    ModelNotFoundError
        There is none, or its files are damaged.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise ImportError(
            f"The tokenizer of {name!r} needs a package that is not installed: {error}. "
            "For Japanese models: pip install 'skbert[ja]'"
        ) from error
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelNotFoundError(
            f"The tokenizer of {name!r} in {folder} could not be loaded ({type(error).__name__}: {reason}). "
            "The folder needs the tokenizer's files beside config.json."
        ) from error
    # Where the files are missing, transformers makes up a tokenizer that knows no word.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelNotFoundError(
            f"{folder} holds no tokenizer for {name!r}, or one without any words. "
            "Save the tokenizer there as well: tokenizer.save_pretrained(folder)."
        )
    return tokenizer


def tokenizer_files(tokenizer):
    """The files that `tokenizer` writes of itself, as a dict of file name to bytes."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def tokenizer_from_files(files):
    """Build a tokenizer from what `tokenizer_files` gave."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        return load_tokenizer("saved estimator", folder)


def longest_input(model, tokenizer):
    """Most tokens, special ones included, that the encoder and its tokenizer take.

    Parameters
    ----------
    model : transformers model
    tokenizer : transformers tokenizer

    Returns
    -------
    int
    """
    positions = make_runner(model).longest_input
    return tokenizer.model_max_length if positions is None else min(tokenizer.model_max_length, positions)
