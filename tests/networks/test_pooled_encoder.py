"""Encoder, poolings and head as one module, against transformers and plain torch."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ErnieConfig,
)

from skbert.encoder import load_encoder
from skbert.networks import PooledEncoder
from skbert.text import TextInput, collate, tokenize
from tests.helpers.pooled_by_hand import OVER_LAYERS, OVER_TOKENS, pooled_by_hand
from tests.helpers.tiny import FAMILIES, WORDS

WIDTH, N_LAYERS, N_OUTPUTS = 32, 4, 3
NO_TOKEN_TYPES = ("distilbert", "modernbert")
WITH_POOLER = ("bert", "roberta", "xlm-roberta", "albert")


def words(n, seed):
    return " ".join(np.random.default_rng(seed).choice(WORDS, size=n))


TEXTS = [words(n, seed) for seed, n in enumerate([4, 20, 1, 7, 9, 7, 33, 0])]


def batch_of(texts, tokenizer):
    return collate(tokenize(TextInput(texts), tokenizer, 64), range(len(texts)))


def built(encoder, seed=0, **options):
    """A PooledEncoder in eval mode whose new parameters are random, biases too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = PooledEncoder(encoder, N_OUTPUTS, **options)
        for name, parameter in module.named_parameters():
            if not name.startswith("encoder."):
                # Large enough to show, small enough not to blow rounding up.
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.4)
    return module.eval()


@pytest.fixture(scope="module")
def references(tiny):
    """By family: transformers' hidden states of TEXTS, (L+1, n, longest, width), and the mask."""
    made = {}

    def get(family):
        if family not in made:
            folder = tiny(family)
            inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
            if family in NO_TOKEN_TYPES:
                inputs.pop("token_type_ids")
            with torch.no_grad():
                output = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True)
            made[family] = torch.stack(output.hidden_states), inputs["attention_mask"].bool()
        return made[family]

    return get


def all_pooled_by_hand(module, states, mask, layers, layer_pooling, token_pooling):
    """The pooled vectors, text by text without pads, from states (L+1, n, longest, width)."""
    texts = zip(states[list(layers)].unbind(1), mask, strict=True)
    return torch.stack([pooled_by_hand(rows[:, keep], layer_pooling, token_pooling, module) for rows, keep in texts])


LAYERS = [
    (1, (4,)),
    (3, (2, 3, 4)),
    (4, (1, 2, 3, 4)),
    ([0], (0,)),
    ([-1, 0, 2], (4, 0, 2)),
    (np.array([1, 2]), (1, 2)),
]


@torch.no_grad()
def check_point(loaded, states, mask, layers, resolved, layer_pooling, token_pooling):
    module = built(loaded.copy_model(), layers=layers, layer_pooling=layer_pooling, token_pooling=token_pooling)
    assert module.layers == resolved
    assert module.width == (WIDTH * len(resolved) if layer_pooling == "concat" else WIDTH)
    batch = batch_of(TEXTS, loaded.tokenizer)
    expected = all_pooled_by_hand(module, states, mask, resolved, layer_pooling, token_pooling)
    assert expected.shape == (len(TEXTS), module.width)
    torch.testing.assert_close(module.pool(batch), expected, rtol=1e-5, atol=1e-5)
    logits = expected @ module.head.classifier.weight.T + module.head.classifier.bias
    torch.testing.assert_close(module(batch), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("token_pooling", OVER_TOKENS)
@pytest.mark.parametrize("layer_pooling", OVER_LAYERS)
@pytest.mark.parametrize(("layers", "resolved"), LAYERS, ids=[str(resolved) for _, resolved in LAYERS])
def test_forward__every_point_of_the_plane__equals_transformers_and_plain_torch(
    tiny, references, layers, resolved, layer_pooling, token_pooling
):
    check_point(load_encoder(tiny("bert")), *references("bert"), layers, resolved, layer_pooling, token_pooling)


@pytest.mark.parametrize(
    ("layers", "resolved", "layer_pooling", "token_pooling"),
    [
        (3, (2, 3, 4), "max", "mha"),
        (3, (2, 3, 4), "max", "cls"),
        ([0, 4], (0, 4), "concat", "mean"),
        ([1, 3], (1, 3), "weighted", "max"),
    ],
    ids=["MaxPoolBERT", "MaxCLS", "concat-mean", "weighted-max"],
)
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bert"])
def test_forward__other_families__equals_transformers_and_plain_torch(
    tiny, references, family, layers, resolved, layer_pooling, token_pooling
):
    check_point(load_encoder(tiny(family)), *references(family), layers, resolved, layer_pooling, token_pooling)


def test_forward__defaults__maxpoolbert(tiny):
    loaded = load_encoder(tiny())
    module = PooledEncoder(loaded.copy_model(), N_OUTPUTS)
    assert module.layers == (2, 3, 4)
    assert module.layer_pooling.name == "max"
    assert module.token_pooling.attention.num_heads == 4
    assert module.head.name == "linear"
    assert not module.head.classifier.bias.any()


@pytest.mark.parametrize("layer_pooling", OVER_LAYERS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_pool__one_layer_and_cls__baseline_whatever_the_layer_pooling(tiny, references, family, layer_pooling):
    loaded = load_encoder(tiny(family))
    module = built(loaded.copy_model(), layers=1, layer_pooling=layer_pooling, token_pooling="cls")
    states, _ = references(family)
    torch.testing.assert_close(module.pool(batch_of(TEXTS, loaded.tokenizer)), states[-1][:, 0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_forward__text_alone__as_in_the_batch(tiny):
    loaded = load_encoder(tiny())
    for token_pooling in OVER_TOKENS:
        module = built(loaded.copy_model(), token_pooling=token_pooling)
        together = module(batch_of(TEXTS, loaded.tokenizer))
        alone = torch.cat([module(batch_of([text], loaded.tokenizer)) for text in TEXTS])
        torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_forward__family_that_skbert_does_not_run__equals_plain_torch(tiny):
    loaded = load_encoder(tiny())
    config = ErnieConfig(
        vocab_size=len(loaded.tokenizer), hidden_size=WIDTH, num_hidden_layers=N_LAYERS, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = AutoModel.from_config(config).eval()
    inputs = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    states = torch.stack(copy.deepcopy(encoder)(**inputs, output_hidden_states=True).hidden_states)
    mask = inputs["attention_mask"].bool()
    batch = batch_of(TEXTS, loaded.tokenizer)
    for token_pooling in OVER_TOKENS:
        module = built(encoder, token_pooling=token_pooling)
        expected = all_pooled_by_hand(module, states, mask, (2, 3, 4), "max", token_pooling)
        torch.testing.assert_close(module.pool(batch), expected, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ the pretrained pooler as head


@pytest.mark.parametrize("family", ["bert", "albert"])
@torch.no_grad()
def test_forward__pooler_head__equals_sequence_classification_of_transformers(tiny, tmp_path, family):
    tokenizer = AutoTokenizer.from_pretrained(tiny(family))
    config = AutoConfig.from_pretrained(tiny(family))
    config.num_labels = N_OUTPUTS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = AutoModelForSequenceClassification.from_config(config).eval()
        for parameter in theirs.parameters():
            if parameter.ndim == 1:  # biases start at zero, where leaving one out would not show
                parameter += 0.1 * torch.randn(parameter.shape)
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.has_pooler
    ours = built(loaded.copy_model(), layers=1, token_pooling="cls", head="pooler")
    ours.head.classifier.weight.copy_(theirs.classifier.weight)
    ours.head.classifier.bias.copy_(theirs.classifier.bias)
    expected = theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    torch.testing.assert_close(ours(batch_of(TEXTS, tokenizer)), expected, rtol=0, atol=1e-5)
    # Without the pooler it is another function.
    without = ours.head.classifier(ours.pool(batch_of(TEXTS, tokenizer)))
    assert (without - expected).abs().max() > 0.01


@torch.no_grad()
def test_forward__pooler_head_on_mha__dense_and_tanh_over_the_pooled_vector(tiny):
    loaded = load_encoder(tiny())
    module = built(loaded.copy_model(), head="pooler")
    batch = batch_of(TEXTS, loaded.tokenizer)
    dense = loaded.model.pooler.dense
    hidden = torch.tanh(module.pool(batch) @ dense.weight.T + dense.bias)
    expected = hidden @ module.head.classifier.weight.T + module.head.classifier.bias
    torch.testing.assert_close(module(batch), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in WITH_POOLER])
def test_pooled_encoder__family_without_pooler__value_error_names_it(tiny, family):
    loaded = load_encoder(tiny(family))
    assert not loaded.has_pooler
    with pytest.raises(ValueError, match=f"pooler.*{family}"):
        PooledEncoder(loaded.copy_model(), 2, layers=1, token_pooling="cls", head="pooler")


@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_pooled_encoder__checkpoint_without_pooler_weights__value_error(tiny, tmp_path, family):
    AutoTokenizer.from_pretrained(tiny(family)).save_pretrained(tmp_path)
    AutoConfig.from_pretrained(tiny(family)).save_pretrained(tmp_path)
    tensors = load_file(f"{tiny(family)}/model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    assert len(kept) == len(tensors) - 2
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = load_encoder(tmp_path)
    assert not loaded.has_pooler
    for dropout in (None, 0.1):
        with pytest.raises(ValueError, match=f"pooler.*{family}"):
            PooledEncoder(loaded.copy_model(dropout), 2, layers=1, token_pooling="cls", head="pooler")
        # With the linear head it works, and nothing random stands in for the pooler.
        module = built(loaded.copy_model(dropout), layers=1, token_pooling="cls")
        assert not any("pooler" in name for name, _ in module.encoder.named_parameters())
        intact = built(load_encoder(tiny(family)).copy_model(), layers=1, token_pooling="cls")
        batch = batch_of(TEXTS, loaded.tokenizer)
        assert torch.equal(module(batch), intact(batch))


def test_pooled_encoder__pooler_and_concat__value_error_names_both_widths(tiny):
    loaded = load_encoder(tiny())
    with pytest.raises(ValueError, match=f"width {WIDTH}.*width {2 * WIDTH}"):
        PooledEncoder(loaded.copy_model(), 2, layers=2, layer_pooling="concat", head="pooler")
    # One layer concatenated is as wide as the pooler takes.
    PooledEncoder(loaded.copy_model(), 2, layers=1, layer_pooling="concat", head="pooler")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "mlp"}, "head must be"),
        ({"layers": 5}, "layers=5"),
        ({"layers": [1, 1]}, "more than once"),
        ({"layer_pooling": "median"}, "layer_pooling"),
        ({"token_pooling": "sum"}, "token_pooling"),
        ({"n_heads": 5}, "n_heads=5"),
        ({"n_heads": 3, "layers": 2, "layer_pooling": "concat"}, "n_heads=3"),
    ],
    ids=str,
)
def test_pooled_encoder__parameter_out_of_range__value_error(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        PooledEncoder(load_encoder(tiny()).copy_model(), 2, **options)


# ------------------------------------------------------------------ which layer wins


@pytest.mark.parametrize("token_pooling", OVER_TOKENS)
@pytest.mark.parametrize("family", ["bert", "modernbert"])
@torch.no_grad()
def test_forward_with_shares__max__counts_the_largest_layer(tiny, references, family, token_pooling):
    loaded = load_encoder(tiny(family))
    layers = (3, 0, 4)
    module = built(loaded.copy_model(), layers=layers, token_pooling=token_pooling)
    batch = batch_of(TEXTS, loaded.tokenizer)
    outputs, wins = module.forward_with_shares(batch)
    torch.testing.assert_close(outputs, module(batch), rtol=0, atol=0)
    states, mask = references(family)
    chosen = states[list(layers)].numpy()
    rows = chosen[:, :, 0] if token_pooling == "cls" else chosen[:, mask.numpy()]
    counts = np.bincount(rows.argmax(axis=0).ravel(), minlength=3)
    assert (counts > 0).all()
    # Two layers may lie so close that rounding decides; at most a few elements do.
    np.testing.assert_allclose(wins.numpy(), counts, rtol=0, atol=2)
    n_rows = len(TEXTS) if token_pooling == "cls" else int(mask.sum())
    assert wins.sum().item() == pytest.approx(n_rows * WIDTH, abs=1e-2)


@torch.no_grad()
def test_forward_with_shares__max_of_equal_layers__shared_evenly(tiny):
    loaded = load_encoder(tiny("modernbert"))
    encoder = loaded.copy_model()
    # A ModernBERT layer adds to its input; without weights it adds nothing, so H_2 = H_3.
    encoder.layers[2].attn.Wo.weight.zero_()
    encoder.layers[2].mlp.Wo.weight.zero_()
    module = built(encoder, layers=[2, 3], token_pooling="mean")
    batch = batch_of(TEXTS, loaded.tokenizer)
    _, wins = module.forward_with_shares(batch)
    elements = len(batch.input_ids) * WIDTH
    np.testing.assert_allclose(wins.numpy(), [elements / 2, elements / 2])
    module = built(encoder, layers=[0, 2, 3], token_pooling="mean")
    _, wins = module.forward_with_shares(batch)
    assert wins[1] == wins[2]
    assert wins[0] > 0
    assert wins.sum().item() == pytest.approx(elements)


@pytest.mark.parametrize("token_pooling", ["cls", "mean"])
@pytest.mark.parametrize("layer_pooling", ["mean", "sum", "concat", "weighted"])
@torch.no_grad()
def test_forward_with_shares__other_poolings__weights_of_the_layers(tiny, layer_pooling, token_pooling):
    loaded = load_encoder(tiny())
    module = built(loaded.copy_model(), layers=3, layer_pooling=layer_pooling, token_pooling=token_pooling)
    batch = batch_of(TEXTS, loaded.tokenizer)
    outputs, wins = module.forward_with_shares(batch)
    torch.testing.assert_close(outputs, module(batch), rtol=0, atol=0)
    elements = WIDTH * (len(TEXTS) if token_pooling == "cls" else len(batch.input_ids))
    share = np.full(3, 1 / 3)
    if layer_pooling == "weighted":
        mix = module.layer_pooling.mix.numpy()
        share = np.exp(mix) / np.exp(mix).sum()
        assert np.ptp(share) > 0.05
    np.testing.assert_allclose(wins.numpy(), share * elements, rtol=1e-5)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("family", "head"),
    [(family, "linear") for family in FAMILIES] + [(family, "pooler") for family in WITH_POOLER],
)
def test_parameters__each_registered_once(tiny, family, head):
    loaded = load_encoder(tiny(family))
    encoder = loaded.copy_model()
    in_encoder = {name for name, _ in encoder.named_parameters() if head == "pooler" or "pooler" not in name}
    module = PooledEncoder(encoder, N_OUTPUTS, layer_pooling="weighted", head=head)
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    assert not [name for name, count in Counter(names).items() if count > 1]
    places = [parameter.data_ptr() for _, parameter in module.named_parameters(remove_duplicate=False)]
    assert len(set(places)) == len(places)
    attention = {f"token_pooling.attention.{name}" for name in (
        "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias",
    )}  # fmt: skip
    new = {"layer_pooling.mix", "head.classifier.weight", "head.classifier.bias", *attention}
    assert set(names) == {f"encoder.{name}" for name in in_encoder} | new
    total = sum(parameter.numel() for parameter in module.parameters())
    of_encoder = sum(p.numel() for name, p in loaded.model.named_parameters() if name in in_encoder)
    assert total == of_encoder + 3 + 4 * WIDTH * (WIDTH + 1) + N_OUTPUTS * (WIDTH + 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_backward__every_parameter_gets_a_gradient(tiny, family):
    loaded = load_encoder(tiny(family))
    module = built(loaded.copy_model(), layers=range(N_LAYERS + 1), layer_pooling="weighted")
    module(batch_of(TEXTS, loaded.tokenizer)).square().sum().backward()
    unused = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    # A parameter that no output depends on would only be decayed.
    assert not unused


def test_deepcopy__pooled_encoder__type_error(tiny):
    module = built(load_encoder(tiny()).copy_model())
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy(module)


# ------------------------------------------------------------------ dropout, and copies of a loaded encoder


@pytest.mark.parametrize("token_pooling", ["cls", "mha"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_copy_model__dropout__decides_whether_training_mode_is_random(tiny, family, token_pooling):
    loaded = load_encoder(tiny(family))
    batch = batch_of(TEXTS, loaded.tokenizer)

    def twice(p):
        module = built(loaded.copy_model(p), token_pooling=token_pooling, head_dropout=0.0).train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return module(batch), module(batch), module.eval()(batch)

    first, second, evaluated = twice(0.0)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, evaluated, rtol=0, atol=1e-5)
    first, second, with_dropout = twice(0.3)
    assert (first - second).abs().max() > 1e-3
    assert (first - with_dropout).abs().max() > 1e-3
    torch.testing.assert_close(with_dropout, evaluated, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_copy_model__dropout__reaches_every_dropout_of_the_encoder(tiny, family):
    loaded = load_encoder(tiny(family))
    before = copy.deepcopy(loaded.model.config.to_dict())
    encoder = loaded.copy_model(0.37)
    assert not encoder.training
    dropouts = [module for module in encoder.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts
    assert {module.p for module in dropouts} == {0.37}
    assert loaded.model.config.to_dict() == before
    state, copied = loaded.model.state_dict(), encoder.state_dict()
    assert state.keys() == copied.keys()
    assert all(torch.equal(state[name], copied[name]) for name in state)


@pytest.mark.parametrize(
    ("family", "p"), [("bert", 0.1), ("albert", 0.1), ("distilbert", 0.2), ("deberta-v2", 0.1), ("modernbert", 0.0)]
)
def test_pooled_encoder__head_dropout__given_or_what_the_family_says(tiny, family, p):
    loaded = load_encoder(tiny(family))
    assert built(loaded.copy_model()).head.dropout.p == p
    assert built(loaded.copy_model(0.25)).head.dropout.p == 0.25
    assert built(loaded.copy_model(0.25), head_dropout=0.5).head.dropout.p == 0.5
    assert built(loaded.copy_model(0.25), head_dropout=0.0).head.dropout.p == 0.0


def test_head_output__training_mode__dropout_stands_before_the_linear_layer(tiny):
    loaded = load_encoder(tiny())
    module = built(loaded.copy_model(), head_dropout=0.5).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module.head.classifier.weight.zero_()
        outputs = module.head(torch.ones(50, WIDTH))
        # Nothing is dropped after the linear layer: its bias is always there in full.
        assert torch.equal(outputs, module.head.classifier.bias.expand(50, -1))
        module.head.classifier.weight.fill_(1.0)
        kept = (module.head(torch.ones(50, WIDTH)) - module.head.classifier.bias) / 2
    torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-4)
    assert 0.4 * WIDTH < kept.mean() < 0.6 * WIDTH


@pytest.mark.parametrize("dropout", [None, 0.0, 0.2])
@pytest.mark.parametrize("family", FAMILIES)
def test_copy_model__trained__the_loaded_model_stays_as_it_was(tiny, family, dropout):
    loaded = load_encoder(tiny(family))
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    encoder = loaded.copy_model(dropout)
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    own = {tensor.data_ptr() for tensor in tensors if tensor.numel()}
    assert not own & {tensor.data_ptr() for tensor in [*encoder.parameters(), *encoder.buffers()] if tensor.numel()}
    module = built(encoder).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    with torch.random.fork_rng(devices=[]):
        module(batch_of(TEXTS, loaded.tokenizer)).square().sum().backward()
    optimizer.step()
    changed = encoder.state_dict()
    assert any(not torch.equal(changed[name], before[name]) for name in changed)
    assert not loaded.model.training
    # The copy has lost its pooler; the original has not.
    assert loaded.model.state_dict().keys() == before.keys()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert load_encoder(tiny(family)) is loaded
