"""One run of a study, and the names of what tells it from all others."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Run:
    """One fit and its evaluation.

    Attributes
    ----------
    variant : str
    size : int
        Training rows.
    draw : int
        Number of the sample draw.
    random_state : int or None
        What every parameter ``random_state`` of the variant is set to; None where it has none.
    init_seed, order_seed : int or None
        What the parameters of these names are set to, in a crossed design.
    """

    variant: str
    size: int
    draw: int
    random_state: int | None
    init_seed: int | None = None
    order_seed: int | None = None

    def as_dict(self):
        """The values of `DESIGN` by name."""
        return asdict(self)

    def key(self):
        """The values of `DESIGN`."""
        return key_of(self.as_dict())


# Columns of a store and of a data frame: what tells a run from all others, and what came of it.
DESIGN = [field.name for field in fields(Run)]
SEEDS = DESIGN[-3:]
OUTCOME = ["status", "reason", "seconds", "n_iter"]

# Before the names of training scores, so that nobody takes one for a score on test texts.
_TRAIN = "train_"


def train_name(name):
    """The name under which a training score is shown."""
    return name if name.startswith(_TRAIN) else _TRAIN + name


def key_of(stored):
    """The values of `DESIGN` of a run that was stored as a dict; see `Run.key`."""
    return tuple(stored[name] for name in DESIGN)
