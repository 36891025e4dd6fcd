"""Texts for measurements: lengths as in few-data tasks, all distinct, the same on every machine."""

import numpy as np

from skbert.datasets import load_helpdesk
from skbert.encoder import load_encoder

# Tokens per text, [CLS] and [SEP] included. With this spread the mean is near 23, and 1 text in 100 exceeds 90.
MEDIAN, SPREAD, SHORTEST, LONGEST = 18, 0.7, 5, 128


def texts_for(options, n):
    """`n` distinct texts (fewer if the file of ``--data`` has fewer)."""
    if options.data is None:
        return texts_of(draw_lengths(n))
    lines = options.data.read_text(encoding="utf-8").splitlines()
    column = lines[0].split("\t").index("text")
    return list(dict.fromkeys(line.split("\t")[column] for line in lines[1:]))[:n]


def labels_for(texts):
    """Two classes that alternate, because the labels do not affect how long training takes."""
    return np.arange(len(texts)) % 2


def draw_lengths(n, seed=0):
    """Lengths in tokens from a clipped lognormal distribution; int64 (n,)."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEDIAN), SPREAD, n)
    return np.clip(np.rint(drawn), SHORTEST, LONGEST).astype(np.int64)


def texts_of(lengths, seed=0):
    """Distinct texts of exactly these lengths in MiniLM tokens, made of consecutive words of helpdesk messages."""
    rng = np.random.default_rng(seed)
    tokenizer = load_encoder("minilm", None).tokenizer
    messages = [message.split() for message in load_helpdesk().data]
    words = sorted({word for message in messages for word in message})
    # A BERT tokenizer never joins words across a blank, so the tokens of a text are the tokens of its words.
    n_tokens = dict(zip(words, map(len, tokenizer(words, add_special_tokens=False)["input_ids"]), strict=True))
    texts = {}
    for length in lengths:
        while (text := _text(rng, messages, n_tokens, length - 2)) in texts:
            pass
        texts[text] = None
    return list(texts)


def _text(rng, messages, n_tokens, length):
    """Words from a random position, over as many messages as needed; a word too long for the rest is skipped."""
    message = messages[rng.integers(len(messages))]
    message = message[rng.integers(len(message)) :]
    words = []
    while True:
        for word in message:
            if n_tokens[word] <= length:
                words.append(word)
                length -= n_tokens[word]
            if not length:
                return " ".join(words)
        message = messages[rng.integers(len(messages))]
