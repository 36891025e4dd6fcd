"""bf16 copies of weights: the same gradients as with autocast, in fp32 weights, and never an old copy."""

import copy
import gc
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from skbert import MaskedLanguageModel, MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.compute import MemoryNotice
from skbert.encoder import load_encoder, new_masked_lm, runner_of
from skbert.networks import PooledEncoder
from skbert.text import TextInput, collate, tokenize
from skbert.training import MicroBatches
from skbert.training._weight_copies import WeightCopies
from tests.helpers.operations import CountOperations
from tests.helpers.tiny import FAMILIES

CPU = torch.device("cpu")
BF16 = SimpleNamespace(precision="bf16", device=CPU)
TEXTS = ["money", "the lamp is late", "where is my parcel now please", "the code is bad", "why"]


def bf16():
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.fixture
def module_of(tiny):
    """Call with a family; gives a module in eval mode, without dropout, and a batch."""

    def make(family, **options):
        loaded = load_encoder(str(tiny("bert" if family == "hybridbert" else family)))
        encoder = copy.deepcopy(loaded.model)
        if family == "hybridbert":
            sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 4}
            sizes |= {"vocab_size": len(loaded.tokenizer), "mixers": ["pooling", "attention"] * 2}
            encoder = runner_of(new_masked_lm({"model_type": "hybridbert", **sizes}, 0)).model
        torch.manual_seed(0)
        module = PooledEncoder(encoder, 3, **{"token_pooling": "mean", "layers": 2, **options}).eval()
        return module, collate(tokenize(TextInput(TEXTS), loaded.tokenizer, 64), range(len(TEXTS)))

    return make


def gradients(module, batch, context):
    """Gradients of a loss by parameter name, computed in `context` under autocast."""
    module.zero_grad(set_to_none=True)
    with context:
        with bf16():
            output = module(batch)
        F.cross_entropy(output.float(), torch.arange(len(TEXTS)) % 3).backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


# ------------------------------------------------------------------ the same gradients


@pytest.mark.parametrize("family", [*FAMILIES, "hybridbert"])
@pytest.mark.parametrize("token_pooling", ["mean", "cls"])
def test_gradients__with_copies__are_those_of_autocast(module_of, family, token_pooling):
    module, batch = module_of(family, token_pooling=token_pooling)
    plain = gradients(module, batch, torch.enable_grad())
    ours = gradients(module, batch, WeightCopies(module, BF16).in_use())
    assert ours.keys() == plain.keys()
    for name, gradient in ours.items():
        assert gradient.dtype == torch.float32
        scale = plain[name].abs().max()
        torch.testing.assert_close(gradient, plain[name], rtol=0, atol=1e-2 * float(scale), msg=lambda t, n=name: n + t)


def test_gradients__of_bert__are_close_to_those_of_transformers_in_fp32(tiny, tmp_path):
    folder = tiny("bert")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    module = PooledEncoder(copy.deepcopy(theirs.bert), 3, layers=1, token_pooling="cls", head="pooler").eval()
    module.head.classifier.load_state_dict(theirs.classifier.state_dict())
    batch = collate(tokenize(TextInput(TEXTS), tokenizer, 64), range(len(TEXTS)))
    ours = gradients(module, batch, WeightCopies(module, BF16).in_use())
    logits = theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    F.cross_entropy(logits, torch.arange(len(TEXTS)) % 3).backward()
    compared = 0
    for name, parameter in theirs.bert.named_parameters():
        if parameter.ndim > 1 and "encoder.layer" in name:
            cosine = F.cosine_similarity(ours[f"encoder.{name}"].flatten(), parameter.grad.flatten(), dim=0)
            assert cosine > 0.99, name
            compared += 1
    assert compared == 24


def test_gradients__of_two_passes__are_summed_in_fp32(module_of):
    module, batch = module_of("bert")
    copies = WeightCopies(module, BF16)
    once = gradients(module, batch, copies.in_use())
    module.zero_grad(set_to_none=True)
    with copies.in_use():
        for scale in (1.0, 2.0**-12):
            with bf16():
                output = module(batch)
            (F.cross_entropy(output.float(), torch.arange(len(TEXTS)) % 3) * scale).backward()
    name = "encoder.encoder.layer.3.output.dense.weight"
    # In bf16, so small an addend would be lost.
    added = module.get_parameter(name).grad - once[name]
    torch.testing.assert_close(added, once[name] * 2.0**-12, rtol=1e-2, atol=1e-9)


def test_micro_batches__in_parts__the_gradients_of_one_pass(module_of):
    module, _ = module_of("bert")
    loaded = load_encoder(module.encoder.config._name_or_path)
    tokens = tokenize(TextInput(TEXTS), loaded.tokenizer, 64)
    settings = SimpleNamespace(precision="bf16", device=CPU, batch_size=8)

    class Part:
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def parts(self, size):
            return (Part(self.rows[start : start + size]) for start in range(0, len(self.rows), size))

    def forward(part):
        with bf16():
            return None, module(collate(tokens, part.rows))

    def loss_of_part(output, part):
        return F.cross_entropy(output.float(), torch.tensor(part.rows) % 3) * (len(part) / len(TEXTS))

    found = []
    for size in (8, 2):
        micro_batches = MicroBatches(module, settings, "batch_size", 0, MemoryNotice())
        micro_batches.size = size
        micro_batches.backward(Part(list(range(len(TEXTS)))), forward, loss_of_part)
        found.append({name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None})
    for name, gradient in found[0].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=0.03 * scale, msg=lambda t, n=name: n + t)


def test_steps__with_copies__train_as_with_autocast(module_of):
    found = []
    for with_copies in (True, False):
        module, batch = module_of("bert")
        copies, optimizer = WeightCopies(module, BF16), torch.optim.SGD(module.parameters(), lr=0.05)
        for _ in range(5):
            gradients(module, batch, copies.in_use() if with_copies else torch.enable_grad())
            optimizer.step()
        found.append(dict(module.named_parameters()))
    start = dict(module_of("bert")[0].named_parameters())
    for name, weight in found[0].items():
        moved = float((weight - start[name]).detach().abs().max())
        torch.testing.assert_close(weight, found[1][name], rtol=0, atol=0.03 * moved + 1e-7)


# ------------------------------------------------------------------ where copies are, and when


def test_in_use__weights__are_back_afterwards(module_of):
    module, batch = module_of("bert")
    before = {name: (p, p.detach().clone()) for name, p in module.named_parameters()}
    copies, layer = WeightCopies(module, BF16), module.encoder.encoder.layer[0]
    with copies.in_use():
        assert layer.output.dense.weight.dtype == torch.bfloat16
        assert layer.output.LayerNorm.weight.dtype == torch.float32
        assert module.encoder.embeddings.word_embeddings.weight.dtype == torch.float32
        with bf16():
            assert module(batch).isfinite().all()
    with pytest.raises(RuntimeError, match="inside"), copies.in_use():
        raise RuntimeError("inside")
    for name, parameter in module.named_parameters():
        assert parameter is before[name][0]
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, before[name][1])
    assert not any("forward" in vars(part) for part in module.modules())


def test_in_use__a_layer_with_a_forward_of_its_own__keeps_it(module_of):
    module, batch = module_of("bert")
    dense = module.encoder.encoder.layer[0].output.dense
    calls, plain = [], dense.forward
    dense.forward = lambda states: calls.append(1) or plain(states)
    own = dense.forward
    with WeightCopies(module, BF16).in_use(), bf16():
        module(batch)
    assert calls == [1]
    assert dense.forward is own


@pytest.mark.parametrize("change", ["optimizer", "load_state_dict", "data"])
def test_in_use__weights_that_changed__new_copies(module_of, change):
    module, batch = module_of("bert")
    copies = WeightCopies(module, BF16)
    gradients(module, batch, copies.in_use())
    weight = module.encoder.encoder.layer[1].intermediate.dense.weight
    before = weight.detach().clone()
    if change == "optimizer":
        torch.optim.SGD(module.parameters(), lr=1.0).step()
    elif change == "load_state_dict":
        module.load_state_dict({name: tensor + 1.0 for name, tensor in module.state_dict().items()})
    else:
        weight.data = weight.data * 2.0
    assert not torch.equal(weight, before)
    with copies.in_use():
        assert torch.equal(module.encoder.encoder.layer[1].intermediate.dense.weight, weight.bfloat16())


def test_in_use__query_key_and_value__are_joined_without_a_copy(module_of):
    module, batch = module_of("bert")
    copies, joins = WeightCopies(module, BF16), []
    for context in (torch.enable_grad(), copies.in_use()):
        with context, bf16(), CountOperations() as operations:
            module(batch)
        joins.append(operations.found["cat"])
    # A weight and a bias in each of four layers.
    assert joins[0] - joins[1] == 8


@pytest.mark.parametrize("settings", [{"precision": "fp32"}, {"device": torch.device("meta")}])
def test_in_use__fp32_or_another_device__nothing(module_of, settings):
    module, _ = module_of("bert")
    before = [id(p) for p in module.parameters()]
    with WeightCopies(module, SimpleNamespace(**{"precision": "bf16", "device": CPU, **settings})).in_use():
        assert [id(p) for p in module.parameters()] == before


def test_in_use__frozen_layers__have_no_copies(module_of):
    module, batch = module_of("bert")
    module.freeze(2)
    with WeightCopies(module, BF16).in_use():
        types = [layer.output.dense.weight.dtype for layer in module.encoder.encoder.layer]
    assert types == [torch.float32] * 2 + [torch.bfloat16] * 2
    assert not any("layer.1." in name for name in gradients(module, batch, WeightCopies(module, BF16).in_use()))


# ------------------------------------------------------------------ whole fits


KINDS = {
    "defaults": {},
    "[CLS]": {"token_pooling": "cls", "layers": 1},
    "pooler, layer_decay": {"token_pooling": "cls", "layers": 1, "head": "pooler", "layer_decay": 0.8},
    "mixout": {"mixout": 0.2, "pretrained_decay": 0.1},
    "frozen": {"freeze_layers": 2},
    "no clipping": {"max_grad_norm": None},
    "old Adam": {"bias_correction": False, "learning_rate": 1e-3},
    "re-initialised": {"reinit_layers": 1},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.25},
    "contrastive steps": {"contrastive_steps": 4, "token_pooling": "mean", "layers": 1, "head_init": "logistic"},
    "contrastive loss": {"contrastive_weight": 0.5, "token_pooling": "mean"},
    "repeated layers": {"layer_path": (0, 1, 1, 3)},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_fit__in_bf16__fp32_weights_that_predict_the_same_everywhere(tiny, texts, labels, quick, kind, tmp_path):
    parameters = {**quick, "learning_rate": 1e-3, "max_epochs": 6, **KINDS[kind]}
    clf = MaxPoolBERTClassifier(tiny("bert"), **parameters, precision="bf16").fit(texts, labels)
    module = clf._fitted.module(CPU)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    start = load_encoder(str(tiny("bert"))).model.state_dict()
    name = "encoder.layer.3.output.dense.weight"
    if kind != "repeated layers":
        assert not torch.equal(module.encoder.state_dict()[name], start[name])
    proba = clf.predict_proba(texts)
    # With the weights as they are, and no copy of them.
    with torch.no_grad():
        tokens = tokenize(TextInput(texts), clf._fitted.tokenizer, 64)
        plain = module(collate(tokens, range(len(texts)))).softmax(dim=1).numpy()
    np.testing.assert_allclose(proba, plain, rtol=0, atol=0.05)
    clf.save(tmp_path / "model")
    for other in (MaxPoolBERTClassifier.load(tmp_path / "model"), copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
        assert np.array_equal(other.predict_proba(texts), proba)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("family", [*FAMILIES])
def test_fit__in_bf16__every_family_learns(tiny, texts, labels, quick, family):
    parameters = {**quick, "learning_rate": 2e-3, "max_epochs": 15, "token_pooling": "mean", "layers": 1}
    clf = MaxPoolBERTClassifier(tiny(family), **parameters, precision="bf16").fit(texts, labels)
    assert clf.loss_curve_[-1] < 0.7 * clf.loss_curve_[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit__in_bf16_again_with_warm_start__goes_on(tiny, texts, labels, quick):
    parameters = {**quick, "learning_rate": 5e-4, "warm_start": True, "precision": "bf16"}
    clf = MaxPoolBERTClassifier(tiny("bert"), **parameters).fit(texts, labels)
    first = clf.loss_curve_[-1]
    clf.fit(texts, labels)
    assert clf.loss_curve_[-1] < first


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_regressor__in_bf16__repeats_and_is_close_to_fp32(tiny, texts, quick):
    lengths, found = np.array([float(len(text)) for text in texts]), []
    for precision in ("bf16", "bf16", "fp32"):
        parameters = {**quick, "learning_rate": 1e-3, "dropout": 0.0, "precision": precision}
        found.append(MaxPoolBERTRegressor(tiny("bert"), **parameters).fit(texts, lengths).predict(texts))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], found[2], rtol=0, atol=0.5 * lengths.std())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("family", ["bert", "distilbert", "deberta-v2", "modernbert"])
def test_masked_language_model__in_bf16__learns_in_fp32_weights(tiny, texts, family):
    found = []
    for precision in ("bf16", "fp32"):
        model = MaskedLanguageModel(
            str(tiny(family)), max_steps=40, batch_size=8, learning_rate=3e-3, random_state=0, precision=precision
        ).fit(texts)
        losses = np.array([row["train_loss"] for row in model.history_])
        assert losses[-10:].mean() < 0.9 * losses[:5].mean()
        found.append(losses)
    # One step is enough to differ, and all of them not enough to differ by much.
    assert not np.array_equal(*found)
    assert abs(found[0][-10:].mean() - found[1][-10:].mean()) < 0.35


def n_in_bf16():
    """Number of tensors in bf16 that exist anywhere in this process."""
    gc.collect()
    # By type(), because isinstance asks each object, and some of torch then warn.
    return sum(issubclass(type(found), torch.Tensor) and found.dtype == torch.bfloat16 for found in gc.get_objects())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit__frees_the_copies(tiny, texts, labels, quick):
    class Count(Callback):
        def on_batch_end(self, net, **kwargs):
            during.append(n_in_bf16())

    before, during = n_in_bf16(), []
    parameters = {**quick, "precision": "bf16", "callbacks": [Count()]}
    clf = MaxPoolBERTClassifier(tiny("bert"), **parameters).fit(texts, labels)
    assert min(during) > before
    # All of them, although the fitted model is still there.
    assert hasattr(clf, "classes_")
    assert n_in_bf16() == before


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit__states_in_bf16_below_the_last_layer__trains(tiny, tmp_path, texts, labels, quick):
    # ALBERT without dropout of states ends its embeddings with a linear layer, which autocast computes in bf16.
    config = AutoConfig.from_pretrained(tiny("albert"))
    config.attention_probs_dropout_prob, config.hidden_dropout_prob = 0.1, 0.0
    folder = tmp_path / "albert"
    shutil.copytree(tiny("albert"), folder)
    config.save_pretrained(folder)
    parameters = {**quick, "precision": "bf16", "layers": 1, "token_pooling": "cls"}
    clf = MaxPoolBERTClassifier(folder, **parameters, layer_path=[0]).fit(texts, labels)
    assert np.isfinite(clf.loss_curve_).all()
