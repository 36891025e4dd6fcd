"""States of targets: those of transformers, at the tokens of the target, whatever the batch."""

import numpy as np
import pytest
import torch

from benchmarks._senses_bert import target_states
from skbert.encoder import load_encoder


def test_states_of_a_target__are_the_mean_over_its_tokens(tiny):
    text = "where is my parcel please"
    contexts = [(text, 12, 18), ("my parcel", 3, 9), (text, 6, 11)]
    model = tiny(n_layers=3)
    found = target_states(contexts, model)
    assert found.shape[:2] == (3, 4)
    loaded = load_encoder(model, None)
    for (each, start, end), states in zip(contexts, found, strict=True):
        inputs = loaded.tokenizer(each, return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping")[0].tolist()
        places = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and b > start]
        assert places
        with torch.no_grad():
            hidden = loaded.model(**inputs, output_hidden_states=True).hidden_states
        expected = [layer[0, places].mean(dim=0).numpy() for layer in hidden]
        np.testing.assert_allclose(states, expected, atol=1e-5)


def test_far_text__is_cut_but_the_target_stays(tiny):
    text = "please " * 300 + "parcel" + " please" * 300
    start = text.index("parcel")
    found = target_states([(text, start, start + 6)], tiny())
    near = target_states([(text[start - 200 : start + 206], 200, 206)], tiny())
    np.testing.assert_allclose(found, near, atol=1e-5)


def test_target_beyond_the_longest_input__is_refused(tiny):
    with pytest.raises(ValueError, match="beyond the longest input"):
        target_states([("x " * 100 + "parcel", 200, 206)], tiny())
