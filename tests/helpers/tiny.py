"""Small random encoders of every family, written to a folder as a real one would be."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "distilbert", "albert", "deberta-v2", "modernbert")

WORDS = (
    "the a is my where parcel late lost lamp refund money back please want broken app login code bill charge "
    "twice cancel plan stop order came not yet when why it to and of for with camera does no work good bad fine "
    "red green blue one two three"
).split()
_LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
_PIECES = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS), *".,!?'-", *WORDS]


def _tokenizer(roberta):
    """A WordPiece tokenizer; RoBERTa's special tokens stand in RoBERTa's order."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names = ("cls", "pad", "sep", "unk", "mask") if roberta else ("pad", "unk", "cls", "sep", "mask")
    role = dict(zip(names, special, strict=True))
    pieces = list(dict.fromkeys([*special, *_PIECES]))
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=role["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = role["cls"], role["sep"]
    pair_type = "" if roberta else ":1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B{pair_type} {sep}{pair_type}",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    inputs = ["input_ids", "attention_mask"] if roberta else ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=inputs,
        cls_token=cls,
        sep_token=sep,
        bos_token=cls,
        eos_token=sep,
        **{f"{name}_token": role[name] for name in ("pad", "unk", "mask")},
    )


def tiny_config(family, vocab_size, n_layers=4, width=32, n_heads=4, pad_token_id=0):
    """The config of a small encoder of `family`."""
    common = {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        "pad_token_id": pad_token_id,
        # Larger than usual, so that different layers differ visibly.
        "initializer_range": 0.2,
    }
    if family == "bert":
        return BertConfig(**common)
    if family in ("roberta", "xlm-roberta"):
        common |= {"max_position_embeddings": 66, "type_vocab_size": 1, "bos_token_id": 0, "eos_token_id": 2}
        return (RobertaConfig if family == "roberta" else XLMRobertaConfig)(**common)
    if family == "electra":
        return ElectraConfig(**common, embedding_size=width // 2)
    if family == "distilbert":
        return DistilBertConfig(
            vocab_size=vocab_size,
            dim=width,
            n_layers=n_layers,
            n_heads=n_heads,
            hidden_dim=2 * width,
            max_position_embeddings=64,
            pad_token_id=pad_token_id,
            initializer_range=0.2,
        )
    if family == "albert":
        return AlbertConfig(**common, embedding_size=width // 2, num_hidden_groups=2)
    if family == "deberta-v2":
        return DebertaV2Config(
            **common,
            relative_attention=True,
            pos_att_type=["c2p", "p2c"],
            position_biased_input=False,
            position_buckets=8,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            conv_kernel_size=3,
            type_vocab_size=0,
        )
    if family == "modernbert":
        # A window shorter than the texts, so that sliding and global attention differ.
        return ModernBertConfig(
            **common, global_attn_every_n_layers=3, local_attention=8, cls_token_id=2, sep_token_id=3
        )
    raise ValueError(family)


def write_tiny(folder, family="bert", *, seed=0, **sizes):
    """Write a small random encoder of `family` with its tokenizer to `folder`; returns the path as str."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family in ("roberta", "xlm-roberta"))
    config = tiny_config(family, len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert AutoConfig.from_pretrained(folder).model_type == family
    return str(folder)
