"""What is minimised: one loss per example, and the loss of a model that learned nothing."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Objective(nn.Module):
    """Base class: a loss per example, and its weighted mean."""

    def per_example(self, output, target):
        """Losses (n,) of outputs (n, k) for targets (n, ...); training minimises these."""
        raise NotImplementedError

    def plain(self, output, target):
        """Losses (n,) without label smoothing, to compare with `uninformed`."""
        return self.per_example(output, target)

    def uninformed(self, target, weight):
        """Mean loss of the best prediction that ignores the text."""
        raise NotImplementedError

    def decide(self, output):
        """Predictions from outputs (n, k): class indices, indicators or values."""
        raise NotImplementedError

    def is_constant(self, output):
        """Whether the prediction is the same for every text."""
        raise NotImplementedError

    def groups(self, target):
        """A number (n,) for each target (n, ...), equal if the targets are equal."""
        raise NotImplementedError

    def forward(self, output, target, weight):
        """Sum of weighted losses, divided by the number of rows.

        The weights have mean 1 over the whole training set and are not normalised
        within the batch. So the expected gradient is the same as for a training set in
        which each row is repeated in proportion to its weight.
        """
        return (self.per_example(output, target) * weight).mean()


class CrossEntropy(Objective):
    """Cross-entropy of the softmax over k classes; targets are class indices (n,)."""

    def __init__(self, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def per_example(self, output, target):
        """Losses (n,) with label smoothing, of logits (n, k)."""
        return F.cross_entropy(output.float(), target, reduction="none", label_smoothing=self.label_smoothing)

    def plain(self, output, target):
        """Losses (n,) without label smoothing."""
        return F.cross_entropy(output.float(), target, reduction="none")

    def uninformed(self, target, weight):
        """Entropy of the (weighted) labels in nats."""
        mass = torch.zeros(int(target.max()) + 1, dtype=torch.float64).index_add_(0, target, weight.double())
        return float(torch.special.entr(mass / mass.sum()).sum())

    def decide(self, output):
        """Index of the largest logit."""
        return output.argmax(dim=1)

    def is_constant(self, output):
        """Whether the same class is predicted for every text."""
        return len(self.decide(output).unique()) == 1

    def groups(self, target):
        """The class indices themselves."""
        return target


class BinaryCrossEntropy(Objective):
    """Mean over k labels of the binary cross-entropy; targets are indicators (n, k)."""

    def __init__(self, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def per_example(self, output, target):
        """Losses (n,) with label smoothing, of logits (n, k)."""
        smoothed = target * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        return F.binary_cross_entropy_with_logits(output.float(), smoothed, reduction="none").mean(dim=1)

    def plain(self, output, target):
        """Losses (n,) without label smoothing."""
        return F.binary_cross_entropy_with_logits(output.float(), target, reduction="none").mean(dim=1)

    def uninformed(self, target, weight):
        """Mean over the labels of the (weighted) entropy of each label, in nats."""
        weight = weight.double()
        p = (target.double() * weight[:, None]).sum(dim=0) / weight.sum()
        return float((torch.special.entr(p) + torch.special.entr(1 - p)).mean())

    def decide(self, output):
        """1 if the logit of a label is positive, else 0."""
        return (output > 0).long()

    def is_constant(self, output):
        """Whether every text gets the same set of labels."""
        return len(self.decide(output).unique(dim=0)) == 1

    def groups(self, target):
        """A number for each set of labels: texts are alike if all their labels are."""
        return target.unique(dim=0, return_inverse=True)[1]


class MeanSquaredError(Objective):
    """Squared error. Targets (n,) are standardised, so the loss of always predicting the mean is 1."""

    def per_example(self, output, target):
        """Squared errors (n,) of outputs (n, 1)."""
        return (output.float()[:, 0] - target).square()

    def uninformed(self, target, weight):
        """Weighted variance of the targets."""
        weight = weight.double() / weight.double().sum()
        mean = (weight * target.double()).sum()
        return float((weight * (target.double() - mean).square()).sum())

    def decide(self, output):
        """The standardised value itself."""
        return output[:, 0]

    def is_constant(self, output):
        """Whether predictions vary by less than one thousandth of the standard deviation of the targets."""
        spread = output.double().std(unbiased=False)
        return bool(spread < 1e-3)
