"""What a landscape shows, in plain sentences that claim no more than it does."""

from __future__ import annotations

import numpy as np

_CAUTION = (
    "Flatness says nothing about other texts by itself: it depends on how weights are written down and on the learning "
    "rate. Compare fits of one recipe only, over many seeds."
)


def conclusions_of(landscape):
    """The sentences of a fitted `LossLandscape`; see there."""
    found = [_ends(landscape, part) for part in ("train", "val") if landscape.line_[f"{part}_loss"] is not None]
    if landscape.line_.val_loss is not None:
        found.append(_lowest(landscape))
    if landscape.surface_ is not None:
        found += _plane(landscape)
    if landscape.barrier_ is not None:
        found.append(
            "On the straight path to the end of another seed, the training loss rises by up to "
            f"{_signed(landscape.barrier_)} {_unit(landscape)} above the line between both ends."
        )
    if landscape.rollback_ is not None:
        found += _rollbacks(landscape)
    found.append(_CAUTION)
    return found


def _unit(landscape):
    return "nats" if hasattr(landscape, "classes_") else "variances of y"


def _signed(value):
    return f"{value:.3g}".replace("-", "\u2212")


def _at(landscape, value):
    return int(np.flatnonzero(landscape.alphas_ == value)[0])


def _ends(landscape, part):
    line, (start, end) = landscape.line_, (_at(landscape, value) for value in (0.0, 1.0))
    loss, error = line[f"{part}_loss"], line[f"{part}_error"]
    low, high = line[f"{part}_low"][end], line[f"{part}_high"][end]
    name = {"train": "training texts", "val": "held-out texts"}[part]
    kind = "error" if hasattr(landscape, "classes_") else "squared error"
    return (
        f"From start to end, the loss of the {name} goes from {_signed(loss[start])} to {_signed(loss[end])} "
        f"{_unit(landscape)} (95 % band at the end {_signed(low)} to {_signed(high)}), their {kind} from "
        f"{_signed(error[start])} to {_signed(error[end])}."
    )


def _lowest(landscape):
    loss, alphas = landscape.line_.val_loss, landscape.alphas_
    place = int(loss.argmin())
    if alphas[place] == 1.0:
        return "On the line, no point has a lower held-out loss than the end."
    where = "before" if alphas[place] < 1.0 else "beyond"
    gained = landscape.line_.val_losses[_at(landscape, 1.0)] - landscape.line_.val_losses[place]
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    return (
        f"On the line, the held-out loss is lowest {where} the end, at α = {alphas[place]:.2f}: by "
        f"{_signed(gained.mean())} ± {_signed(error)} {_unit(landscape)} (standard error over texts; this point was "
        "chosen for being the lowest)."
    )


def _plane(landscape):
    surface = landscape.surface_
    found = [f"The cosine of the two directions of the plane is {surface.cosine:.2f}."]
    if landscape.consistency_ is not None:
        found.append(
            f"Over the {surface.train_loss.size} points of the plane, the rank correlation of training loss and "
            f"held-out loss is {landscape.consistency_:.2f}, that of training loss and held-out error "
            f"{landscape.error_consistency_:.2f}. Points of one plane depend on each other, so they have no p-value."
        )
    return found


def _rollbacks(landscape):
    rolled = landscape.rollback_
    part = "train" if rolled.val_loss is None else "val"
    name = {"train": "training", "val": "held-out"}[part]
    kind = "error" if hasattr(landscape, "classes_") else "squared error"
    whole = rolled[f"whole_{part}_error"]
    return [
        f"Set back to the start ({layers}), the {name} {kind} is {_signed(error)} instead of {_signed(whole)}."
        for layers, error in zip(rolled.names, rolled[f"{part}_error"], strict=True)
    ]
