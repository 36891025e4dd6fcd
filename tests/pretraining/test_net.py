"""The packed model against the same of transformers, and what it leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skbert.encoder import load_masked_lm
from skbert.pretraining._masking import Masking
from skbert.pretraining._net import MaskedNet, parameter_groups
from tests.helpers.masked import corpus_of


def drawn(folder, drop, rate=0.3):
    corpus, vocabulary = corpus_of(folder)
    generator = np.random.default_rng(0)
    settings = {"rate": rate, "spans": False, "replacement": (0.8, 0.1, 0.1), "drop": drop, "generator": generator}
    return Masking(corpus, vocabulary, None, **settings).draw(range(8)), vocabulary


@torch.no_grad()
def test_forward__at_masked_tokens__equals_the_output_layer_at_all(tiny):
    net = MaskedNet(load_masked_lm(tiny()).model).eval()
    batch, places, _, _ = drawn(tiny(), drop=False)[0].batch("cpu")
    everywhere = net(batch, torch.arange(len(batch.input_ids)))
    torch.testing.assert_close(net(batch, places), everywhere[places], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "albert", "electra", "modernbert"])
@torch.no_grad()
def test_drop_mask__another_embedding_of_the_mask_token__changes_no_other_token(tiny, family, training):
    model = load_masked_lm(tiny(family)).model
    net = MaskedNet(model).train(training)
    runner = net.runner
    masked, vocabulary = drawn(tiny(family), drop=True)
    batch, _, _, _ = masked.batch("cpu")
    is_mask = batch.input_ids == vocabulary.mask
    assert is_mask.any()

    def states(batch):
        torch.manual_seed(0)
        return torch.stack(runner.hidden_states(batch, range(runner.n_layers + 1))[0])

    with torch.random.fork_rng(devices=[]):
        before, attended = states(batch), states(replace(batch, attended=None))
        model.get_input_embeddings().weight[vocabulary.mask] += torch.linspace(-1, 1, before.shape[-1])[
            : model.get_input_embeddings().embedding_dim
        ]
        after, attended_after = states(batch), states(replace(batch, attended=None))
    torch.testing.assert_close(after[:, ~is_mask], before[:, ~is_mask], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(after[-1][is_mask], before[-1][is_mask], atol=1e-3)
    assert not torch.allclose(attended_after[-1][~is_mask], attended[-1][~is_mask], atol=1e-3)


def test_parameter_groups__vectors__do_not_decay(tiny):
    net = MaskedNet(load_masked_lm(tiny()).model)
    decayed, plain = parameter_groups(net, 0.1)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(net.parameters()))
