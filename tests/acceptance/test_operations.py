"""How many operations a step and a prediction ask of a GPU: limits, so that no change adds launches unseen.

The counts are those of the way that CUDA takes, forced on the CPU. There, attention with dropout is several operations,
which would be one kernel on a GPU; so each comparison with transformers is made in that count too.
"""

import pytest

from skbert.encoder._way import forced_way
from tests.helpers.operations import (
    READINGS,
    kernels_of_cuda,
    our_prediction,
    our_step,
    their_prediction,
    their_step,
    write_minilm_shaped,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Most operations of one training step on 16 texts, by reading and number of frozen layers.
STEPS = {
    ("[CLS]", 0): 400,
    ("[CLS]", 3): 215,
    ("mean", 0): 410,
    ("mean", 3): 225,
    ("MaxPoolBERT", 0): 450,
    ("MaxPoolBERT", 3): 260,
}
# The same with attention and dropout as one operation each, as a share of those of transformers' padded step.
SHARES_OF_STEP = {"[CLS]": 0.92, "mean": 0.95, "MaxPoolBERT": 1.05}
# And of its padded forward.
SHARES_OF_PREDICTION = {"[CLS]": 0.9, "mean": 0.9, "MaxPoolBERT": 0.95}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_minilm_shaped(tmp_path_factory.mktemp("minilm-shaped"))


@pytest.mark.parametrize(("reading", "n_frozen"), STEPS)
def test_training_step__on_the_way_of_cuda__holds_the_limit(folder, reading, n_frozen):
    with forced_way("padded"):
        found = our_step(folder, freeze_layers=n_frozen, **READINGS[reading])
    assert found.total() <= STEPS[reading, n_frozen], found
    # All weights of a group are updated at once, and the gradients of all have one norm.
    assert found["_fused_adamw_"] <= 4
    assert found["_foreach_norm"] == 1
    # Attention once per layer that is trained, and weights that are not joined anew.
    assert found["_softmax"] == 6 - n_frozen
    assert found["cat"] <= 8


@pytest.mark.parametrize("reading", READINGS)
def test_prediction__on_the_way_of_cuda__at_most_nine_tenths_of_transformers(folder, reading):
    with forced_way("padded"):
        found = our_prediction(folder, **READINGS[reading])
    assert found.total() <= 0.9 * their_prediction(folder).total(), found
    # Once per layer, and once in the pooling of MaxPoolBERT.
    assert found["_scaled_dot_product_flash_attention_for_cpu"] == 6 + (reading == "MaxPoolBERT")
    assert found["cat"] == 0


@pytest.mark.parametrize("reading", READINGS)
def test_with_the_kernels_of_cuda__shares_of_transformers(folder, reading):
    with forced_way("padded"), kernels_of_cuda():
        step, prediction = our_step(folder, **READINGS[reading]), our_prediction(folder, **READINGS[reading])
    with kernels_of_cuda():
        their_counts = their_step(folder), their_prediction(folder)
    assert step["attention"] == step["attention_backward"] == 6 + (reading == "MaxPoolBERT")
    assert their_counts[0]["attention"] == their_counts[1]["attention"] == 6
    assert step.total() <= SHARES_OF_STEP[reading] * their_counts[0].total()
    assert prediction.total() <= SHARES_OF_PREDICTION[reading] * their_counts[1].total()


def test_training_step__in_groups__takes_more_operations(folder):
    found = {}
    for way in ("groups", "padded"):
        with forced_way(way):
            found[way] = our_step(folder, **READINGS["mean"]).total()
    assert found["groups"] > 2 * found["padded"]
