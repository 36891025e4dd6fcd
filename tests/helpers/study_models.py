"""Estimators to study that cost nothing, and do what a test wants to see; importable by other processes."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skbert import StabilityStudy
from tests.helpers.waiting import wait_until

DESIGN = ["variant", "size", "draw", "random_state", "init_seed", "order_seed"]


class Guesser(ClassifierMixin, BaseEstimator):
    """Guesses labels from the text and its seeds, and keeps a diary of its fits.

    Parameters
    ----------
    luck : float
        Chance to guess right.
    seconds : float
        How long a fit takes.
    fails_on : collection of int
        Values of ``random_state`` modulo 4 on which a fit raises.
    random_state, init_seed, order_seed : int
    """

    diary = []

    def __init__(self, luck=0.5, seconds=0.0, fails_on=(), random_state=None, init_seed=None, order_seed=None):
        self.luck = luck
        self.seconds = seconds
        self.fails_on = fails_on
        self.random_state = random_state
        self.init_seed = init_seed
        self.order_seed = order_seed

    def fit(self, X, y):
        self.diary.append((self.luck, self.random_state, len(X)))
        time.sleep(self.seconds)
        if (self.random_state or 0) % 4 in self.fails_on:
            raise RuntimeError(f"seed {self.random_state} is unlucky")
        self.classes_ = np.unique(y)
        self.n_threads_ = torch.get_num_threads()
        self.n_iter_ = 7
        self.training_status_ = "converged"
        return self

    def predict(self, X):
        check_is_fitted(self)
        rng = np.random.default_rng([self.random_state or 0, self.init_seed or 0, self.order_seed or 0])
        # The texts of the tests end in their label.
        truth = np.array([text.split()[-1] for text in X])
        return np.where(rng.random(len(X)) < self.luck, truth, rng.choice(self.classes_, len(X)))


class Constant(Guesser):
    """Says of its training that it failed, as skbert's own estimators do."""

    def fit(self, X, y):
        super().fit(X, y)
        self.training_status_ = "constant"
        return self


class Killer(Guesser):
    """Takes its process with it, on the seeds of `fails_on`."""

    def fit(self, X, y):
        if self.random_state % 4 in self.fails_on:
            os._exit(9)
        return super().fit(X, y)


class Gated(Guesser):
    """Holds its fits, in all processes, at a gate that the first `n_free` of them may pass, and all once it is open.

    Parameters
    ----------
    gate : str
        An empty folder; see `open_gate`.
    n_free : int
    luck, random_state
        As in `Guesser`.
    """

    seconds, fails_on, init_seed, order_seed = 0, (), None, None

    def __init__(self, gate=None, n_free=0, luck=0.5, random_state=None):
        self.gate = gate
        self.n_free = n_free
        self.luck = luck
        self.random_state = random_state

    def fit(self, X, y):
        if self._take_ticket() >= self.n_free:
            wait_until((Path(self.gate) / "open").exists)
        return super().fit(X, y)

    def _take_ticket(self):
        for number in itertools.count():
            try:
                (Path(self.gate) / f"ticket-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return number


def open_gate(gate):
    """Let all fits of a `Gated` pass."""
    (Path(gate) / "open").touch()


def n_at_gate(gate):
    """How many fits of a `Gated` have begun."""
    return len(list(Path(gate).glob("ticket-*")))


def labelled_texts(n, n_classes=2, seed=0):
    """Distinct texts that end in their label, and the labels; as many of each class as divide evenly."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    names = np.array(["no", "yes", "maybe", "never"])[labels]
    return [f"text {i} says {name}" for i, name in enumerate(names)], names


def study(**parameters):
    """A small study of a `Guesser`."""
    given = {"estimator": Guesser(), "seeds": 3, "baselines": (), "random_state": 0, **parameters}
    return StabilityStudy(**given)


def same(first, second):
    """Assert that two tables of runs differ in nothing but how long they took."""
    pd.testing.assert_frame_equal(first.drop(columns=["seconds"]), second.drop(columns=["seconds"]))
