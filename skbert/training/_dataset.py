"""Token ids, targets and weights as a dataset, and the two ways to iterate over it."""

from __future__ import annotations

import numpy as np
import torch

from skbert.text import collate, cut_at_budget


class TextDataset(torch.utils.data.Dataset):
    """Tokenised texts with their targets and weights.

    Parameters
    ----------
    tokens : TokenizedTexts
        Token ids of the texts.
    target : tensor (n, ...)
        Targets in the form that the objective needs.
    weight : tensor (n,)
        Sample weights with mean 1.
    prefixes : PrefixCache, default=None
        Hidden states of the frozen layers of each text.
    mean_weight : float, default=1.0
        Mean of the sample weights as they were given.
    """

    def __init__(self, tokens, target, weight, prefixes=None, mean_weight=1.0):
        self.tokens = tokens
        self.target = target
        self.weight = weight
        self.prefixes = prefixes
        self.mean_weight = mean_weight

    def take(self, rows):
        """The texts in `rows`, an int tensor."""
        tokens = self.tokens.take(rows.numpy())
        return TextDataset(tokens, self.target[rows], self.weight[rows], self.prefixes, self.mean_weight)

    def with_prefixes(self, prefixes):
        """The same texts with hidden states of their frozen layers (a `PrefixCache`) or without them (None)."""
        return TextDataset(self.tokens, self.target, self.weight, prefixes, self.mean_weight)

    def with_tokens(self, tokens):
        """The same texts with other token ids."""
        return TextDataset(tokens, self.target, self.weight, self.prefixes, self.mean_weight)

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return self.tokens.input_ids[index], self.target[index]


class Rows:
    """Some rows of a `TextDataset`. They become a batch only when they are computed, and can be split into parts."""

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = indices

    def __len__(self):
        return len(self.indices)

    @property
    def longest(self):
        """Number of tokens of the longest row."""
        return max(len(self.dataset.tokens.input_ids[i]) for i in self.indices)

    def tokens(self, device):
        """The rows as a `TokenBatch` on `device`."""
        return collate(self.dataset.tokens, self.indices).to(device)

    def prefix(self, device):
        """Hidden states of the frozen layers for `tokens`, or None if nothing is cached."""
        prefixes = self.dataset.prefixes
        return None if prefixes is None else prefixes.of(self.dataset.tokens, self.indices, device)

    def target(self, device):
        """The targets of the rows, (n, ...)."""
        return self.dataset.target[self.indices].to(device)

    def weight(self, device):
        """The weights of the rows, (n,)."""
        return self.dataset.weight[self.indices].to(device)

    def parts(self, size):
        """The rows in parts of at most `size`."""
        for start in range(0, len(self), size):
            yield Rows(self.dataset, self.indices[start : start + size])


class ShuffledBatches:
    """Batches of `batch_size` rows in random order; each pass draws a new order. The last batch may be smaller."""

    def __init__(self, dataset, batch_size, generator):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self):
        order = self.generator.permutation(len(self.dataset))
        for start in range(0, len(order), self.batch_size):
            rows = Rows(self.dataset, order[start : start + self.batch_size])
            yield rows, self.dataset.target[rows.indices]


class OrderedBatches:
    """All rows once, in their own order, in batches of at most about `token_budget` tokens."""

    def __init__(self, dataset, token_budget):
        self.dataset = dataset
        self.batches = cut_at_budget(np.arange(len(dataset)), dataset.tokens.lengths, token_budget)

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for indices in self.batches:
            yield Rows(self.dataset, indices), self.dataset.target[indices]
