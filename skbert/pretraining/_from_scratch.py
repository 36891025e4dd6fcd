"""Models without pretrained weights: their architecture, and a vocabulary that is learned from the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from skbert._shared import check_int, is_int
from skbert.encoder import MIXERS, new_masked_lm, tokenizer_files
from skbert.text import is_japanese, japanese_words, mecab_dictionary

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A piece must occur this often in the texts to become an entry of the vocabulary.
_LEAST_FREQUENCY = 2
# Number of distinct characters that a vocabulary may have; Japanese has thousands.
_MOST_CHARACTERS = 6000
_LEAST_POSITIONS = 128


@dataclass(frozen=True)
class Architecture:
    """The size of a BERT.

    Attributes
    ----------
    n_layers, width, n_heads, ffn_width : int
        Number of layers, width of the hidden states, number of attention heads, and width inside the feed-forward
        network.
    mixers : tuple of str, (n_layers,)
        For each layer, "attention" or "pooling".
    """

    n_layers: int
    width: int
    n_heads: int
    ffn_width: int
    mixers: tuple[str, ...]

    @property
    def is_bert(self):
        """Whether all layers are those of BERT."""
        return set(self.mixers) == {"attention"}


def check_architecture(value):
    """The parameter `architecture` as an `Architecture`, or None.

    Raises
    ------
    ValueError
        It is not a dict, an entry is unknown, missing or out of its range, or the parts do not fit together.
    """
    if value is None:
        return None
    names = ("n_layers", "width", "n_heads", "ffn_width")
    if not isinstance(value, Mapping):
        raise ValueError(f"architecture must be None or a dict with {', '.join(names)} and mixers, got {value!r:.80}")
    unknown = sorted(set(value) - {*names, "mixers"}, key=str)
    if unknown:
        raise ValueError(f"architecture has no entry {unknown[0]!r}; it has {', '.join(names)} and mixers.")
    missing = [name for name in ("n_layers", "width") if name not in value]
    if missing:
        raise ValueError(f"architecture must say {' and '.join(missing)}, such as {{'n_layers': 4, 'width': 256}}.")
    n_layers = check_int("n_layers of architecture", value["n_layers"], 1)
    width = check_int("width of architecture", value["width"], 1)
    n_heads = check_int("n_heads of architecture", value.get("n_heads", max(1, width // 64)), 1)
    ffn_width = check_int("ffn_width of architecture", value.get("ffn_width", 4 * width), 1)
    if width % n_heads:
        raise ValueError(f"n_heads={n_heads} of architecture must divide width={width}.")
    return Architecture(n_layers, width, n_heads, ffn_width, _check_mixers(value.get("mixers"), n_layers))


def _check_mixers(mixers, n_layers):
    if mixers is None:
        return ("attention",) * n_layers
    if isinstance(mixers, str) or not all(isinstance(mixer, str) and mixer in MIXERS for mixer in mixers):
        raise ValueError(f"mixers of architecture must be a list of words of {MIXERS}, got {mixers!r:.80}")
    if len(mixers) != n_layers:
        raise ValueError(f"mixers of architecture must have one word for each of {n_layers} layers, got {len(mixers)}.")
    return tuple(mixers)


def check_vocabulary(value, architecture):
    """Return the parameter `vocabulary`; it must be None, or a size for a model from scratch."""
    if value is None:
        return None
    if not is_int(value) or value < 100:
        raise ValueError(f"vocabulary must be None or an int of at least 100, got {value!r:.80}")
    if architecture is None:
        raise ValueError(
            f"vocabulary={value} needs an architecture, because a pretrained model knows the tokens of its own "
            "vocabulary only. Give architecture={'n_layers': 4, 'width': 256}, or vocabulary=None."
        )
    return int(value)


def make_model(architecture, tokenizer, max_length, seed):
    """A masked language model with random weights.

    Parameters
    ----------
    architecture : Architecture
        Its size.
    tokenizer : transformers tokenizer
        Its tokenizer.
    max_length : int or None
        Maximum number of tokens of a text; the model takes as many, and at least 128.
    seed : int
        Seed of the weights.

    Returns
    -------
    transformers model
        A BERT if no layer pools, else a HybridBERT.
    """
    entries = {
        "vocab_size": len(tokenizer),
        "hidden_size": architecture.width,
        "num_hidden_layers": architecture.n_layers,
        "num_attention_heads": architecture.n_heads,
        "intermediate_size": architecture.ffn_width,
        "max_position_embeddings": max(_LEAST_POSITIONS, max_length or 0),
        "pad_token_id": tokenizer.pad_token_id or 0,
    }
    if architecture.is_bert:
        return new_masked_lm({"model_type": "bert", **entries}, seed)
    return new_masked_lm({"model_type": "hybridbert", **entries, "mixers": list(architecture.mixers)}, seed)


def learn_tokenizer(texts, size, max_length):
    """Learn a WordPiece vocabulary from texts.

    Parameters
    ----------
    texts : list of str
        The texts.
    size : int
        Maximum number of entries; few texts have fewer.
    max_length : int or None
        Maximum number of tokens of a text, as in `make_model`.

    Returns
    -------
    tokenizer : transformers tokenizer
        One that lowers case and separates punctuation, as that of BERT. If most texts are Japanese: one that divides
        by MeCab.
    files : dict of str to bytes
        The files from which it can be built again.

    Raises
    ------
    ImportError
        The texts are Japanese, and MeCab is not installed.
    """
    longest = max(_LEAST_POSITIONS, max_length or 0)
    with TemporaryDirectory() as folder:
        if 2 * sum(map(is_japanese, texts)) > len(texts):
            tokenizer = _japanese_tokenizer(texts, size, longest, folder)
        else:
            tokenizer = _bert_tokenizer(texts, size, longest)
        tokenizer.save_pretrained(folder)
        return tokenizer, tokenizer_files(tokenizer, folder)


def _bert_tokenizer(texts, size, longest):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer, divider = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = [[word for word, _ in divider.pre_tokenize_str(normalizer.normalize_str(text))] for text in texts]
    ids = {entry: index for index, entry in enumerate(_learn_vocabulary(words, size))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, divider
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name.strip('[]').lower()}_token": name for name in _SPECIAL},
    )


def _japanese_tokenizer(texts, size, longest, folder):
    from transformers import BertJapaneseTokenizer

    path = Path(folder) / "vocab.txt"
    entries = _learn_vocabulary([japanese_words(text) for text in texts], size)
    path.write_text("\n".join(entries) + "\n", encoding="utf-8")
    return BertJapaneseTokenizer(
        str(path),
        word_tokenizer_type="mecab",
        subword_tokenizer_type="wordpiece",
        mecab_kwargs={"mecab_dic": mecab_dictionary()},
        model_max_length=longest,
    )


def _learn_vocabulary(texts, size):
    """The entries of a WordPiece vocabulary, in the order of their ids, from texts that are lists of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    counts = Counter(character for text in texts for word in text for character in word)
    common = sorted((c for c in counts if counts[c] >= _LEAST_FREQUENCY), key=lambda c: (-counts[c], c))
    # Half of the entries remain for pieces of more than one character.
    characters = sorted(common[: min(_MOST_CHARACTERS, max(1, (size - len(_SPECIAL)) // 4))])
    known = set(characters)
    # The trainer numbers characters in an order that differs from run to run, and its ties depend on it. So it is
    # given their numbers: as special tokens, of which the tokenizer that is made in the end knows nothing.
    numbered = [*_SPECIAL, *characters, *(f"##{character}" for character in characters)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=_LEAST_FREQUENCY, special_tokens=numbered, show_progress=False
    )
    lines = (" ".join(word for word in text if known.issuperset(word)) for text in texts)
    tokenizer.train_from_iterator(lines, trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)
