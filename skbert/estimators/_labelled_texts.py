"""Texts with their targets and weights, checked, before they are tokenised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skbert.estimators._targets import Target
from skbert.text import TextInput, tokenize
from skbert.training import TextDataset


@dataclass(frozen=True)
class LabelledTexts:
    """One set of texts for training or validation.

    Attributes
    ----------
    texts : TextInput
        The texts.
    target : Target
        Their encoded targets.
    weight : float array (n,)
        Sample weights.
    """

    texts: TextInput
    target: Target
    weight: np.ndarray

    def __len__(self):
        return len(self.texts)

    def take(self, rows):
        """The texts in `rows`, with their targets and weights."""
        return LabelledTexts(self.texts.take(rows), self.target.take(rows), self.weight[rows])

    def n_classes(self):
        """Number of classes with a weight above zero; None for targets that are not single classes."""
        if self.target.strata is None:
            return None
        return len(np.unique(self.target.strata[(self.weight * self.target.weight) > 0]))

    def tokenized(self, tokenizer, max_length):
        """The `TextDataset` of these texts; the products of sample weight and class weight have mean 1.

        Raises
        ------
        ValueError
            No row has a weight above zero.
        """
        weight = self.weight * self.target.weight
        if not weight.any():
            raise ValueError("class_weight and sample_weight together leave no sample with a weight above zero.")
        tokens = tokenize(self.texts, tokenizer, max_length)
        scaled = torch.from_numpy((weight / weight.mean()).astype(np.float32))
        target = torch.from_numpy(self.target.values)
        return TextDataset(tokens, target, scaled, mean_weight=float(weight.mean()))
