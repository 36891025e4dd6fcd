"""Tokenizers: loading them, the longest input that they and the encoder accept, and storing them as bytes."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from skbert.encoder.families import make_runner
from skbert.errors import ModelNotFoundError, SavedEstimatorError


def load_tokenizer(name, folder):
    """Load the tokenizer from `folder`.

    Raises
    ------
    ImportError
        The tokenizer needs a package that is not installed; Japanese tokenizers need MeCab, for example.
    ModelNotFoundError
        The folder has no tokenizer, or its files are damaged.
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
            "Check the tokenizer's files, which must be in the same folder as config.json."
        ) from error
    # If the files are missing, transformers builds a tokenizer with an empty vocabulary.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelNotFoundError(
            f"{folder} holds no tokenizer for {name!r}, or one with an empty vocabulary. "
            "Save the tokenizer there too: tokenizer.save_pretrained(folder)."
        )
    return tokenizer


# Files of any tokenizer; for some tokenizers, the config of the model determines their kind.
_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "*.model",
    "*.spm",
)


def tokenizer_files(tokenizer, folder):
    """The files in `folder` from which `tokenizer` was built, as a dict of file name to bytes.

    They are stored unchanged, because the files that a tokenizer writes itself may build another tokenizer. For
    example, if an entry occurs twice in its vocabulary, writing it changes the ids of all later entries.
    """
    patterns = {*_FILES, *tokenizer.vocab_files_names.values()}
    found = {path for pattern in patterns for path in Path(folder).glob(pattern) if path.is_file()}
    return {path.name: path.read_bytes() for path in sorted(found)}


_checked: set[bytes] = set()


def check_copy(tokenizer, files):
    """Refuse files that would build a tokenizer different from `tokenizer`.

    Raises
    ------
    SavedEstimatorError
        The two differ in their vocabulary, or in the ids of a sample of it and of texts in several scripts.
    """
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + files[name] for name in sorted(files))).digest()
    if digest in _checked:
        return
    if _probe(tokenizer) != _probe(tokenizer_from_files(files)):
        raise SavedEstimatorError(
            "A copy of this estimator would tokenise differently: its tokenizer, built again from "
            f"{', '.join(sorted(files))}, gives other ids. Save the tokenizer with save_pretrained of transformers "
            "in the folder of its model, check that both agree, and fit again."
        )
    _checked.add(digest)


def _probe(tokenizer):
    """Properties that identify a tokenizer: vocabulary, special tokens, and the ids of some texts."""
    vocabulary = tokenizer.get_vocab()
    words = sorted(vocabulary, key=vocabulary.get)
    words = words[:: max(1, len(words) // 256)]
    texts = [" ".join(words[start : start + 16]) for start in range(0, len(words), 16)]
    texts += ["Where is Zoë's parcel, No. 4711?", "日本語の文を形態素に分ける。", "Привет, мир!", "🙂 «ça» \t x²"]
    ids = [tokenizer(text)["input_ids"] for text in texts] + [tokenizer(texts[0], texts[-1])["input_ids"]]
    return vocabulary, tokenizer.special_tokens_map, tokenizer.model_max_length, tokenizer.padding_side, ids


def tokenizer_from_files(files):
    """Build a tokenizer from the result of `tokenizer_files`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        return load_tokenizer("saved estimator", folder)


def longest_input(model, tokenizer):
    """Maximum number of tokens, special tokens included, that both the encoder and its tokenizer accept.

    Parameters
    ----------
    model : transformers model
        The encoder.
    tokenizer : transformers tokenizer
        Its tokenizer.

    Returns
    -------
    int
    """
    positions = make_runner(model).longest_input
    return tokenizer.model_max_length if positions is None else min(tokenizer.model_max_length, positions)
