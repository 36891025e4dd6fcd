"""The contrastive phase, the joint loss and the head from logistic regression, through whole fits."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert._shared import derive_seeds
from skbert.networks import PooledEncoder
from skbert.training import CONTRASTIVE_LOSSES
from skbert.training._pair_batches import BalancedBatches
from tests.training.test_contrastive_losses import cosine_by_hand, supcon_by_hand

MEAN = {"layers": 1, "layer_pooling": "mean", "token_pooling": "mean"}
PHASE = {"contrastive_steps": 6, "contrastive_learning_rate": 1e-3, "contrastive_batch_size": 9}
HEAD_ONLY = {"head_init": "logistic", "max_epochs": 0}


@pytest.fixture
def classifier(tiny, quick):
    """A classifier of a small encoder, with mean pooling unless other parameters are given."""
    return lambda **parameters: MaxPoolBERTClassifier(tiny(), **{**quick, **MEAN, **parameters})


def rows_of(clf, phase):
    return [row for row in clf.history_ if row["phase"] == phase]


def losses_of(clf, phase):
    return [row["train_loss"] for row in rows_of(clf, phase)]


# ------------------------------------------------------------- the contrastive steps


def mean_of_tokens(model, tokenizer, texts):
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    mask = inputs["attention_mask"][:, :, None]
    return (model(**inputs).last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)


def cosine_loss(unit, codes):
    """The cosine loss of a batch in plain torch."""
    same = codes[:, None] == codes[None, :]
    pairs = torch.ones_like(same).triu(1)
    errors = (unit @ unit.T - same.float()) ** 2
    return (errors[same & pairs].mean() + errors[~same & pairs].mean()) / 2


def test_phases__equal_transformers_and_scikit_learn_by_hand(tiny, texts, labels, classifier):
    clf = classifier(**PHASE, **HEAD_ONLY, dropout=0.0, weight_decay=0.0, random_state=5).fit(texts, labels)
    model = AutoModel.from_pretrained(tiny(), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    tokenizer = AutoTokenizer.from_pretrained(tiny())
    codes = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    order = np.random.default_rng(derive_seeds(5).contrast)
    source = BalancedBatches(codes, torch.ones(len(codes)), 9, "cosine", 0.1, order)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-6, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 1, 6)
    losses = []
    for _ in range(6):
        rows = source.draw()
        unit = torch.nn.functional.normalize(mean_of_tokens(model, tokenizer, [texts[i] for i in rows]))
        loss = cosine_loss(unit, codes[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses_of(clf, "contrastive"), losses, atol=2e-5)
    with torch.no_grad():
        vectors = mean_of_tokens(model.eval(), tokenizer, texts).double().numpy()
    np.testing.assert_allclose(clf.transform(texts), vectors, atol=5e-4)
    own = normalize(clf.transform(texts).astype(float))
    regression = LogisticRegression(max_iter=1000).fit(own, labels)
    np.testing.assert_allclose(clf.predict_proba(texts), regression.predict_proba(own), atol=1e-4)
    assert clf.n_iter_ == clf.best_epoch_ == 0
    assert clf.loss_curve_ == []


@pytest.mark.parametrize("reading", [{"layers": 2}, {"token_pooling": "cls"}, {"layers": 2, "layer_pooling": "concat"}])
@pytest.mark.parametrize(
    "more", [{}, {"freeze_layers": 2}, {"layer_path": (0, 1, 1)}, {"head": "pooler", "layer_pooling": "max"}]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_phases__lower_the_loss_anywhere_on_the_plane(texts, labels, classifier, reading, more):
    if more.get("head") == "pooler" and reading.get("layer_pooling") == "concat":
        more = {"head": "pooler", "layer_pooling": "mean"}
    parameters = {"token_pooling": "mha", "layer_pooling": "max", **reading, **more}
    clf = classifier(**parameters, **{**PHASE, "contrastive_steps": 25}, head_init="logistic", dropout=0.0)
    clf.fit(texts, labels)
    losses = losses_of(clf, "contrastive")
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert [row["phase"] for row in clf.history_] == ["contrastive"] * len(losses) + ["head"] + ["fine_tuning"] * 4


@pytest.mark.parametrize("family", ["distilbert", "deberta-v2", "modernbert", "albert"])
def test_phases__run_for_other_families(tiny, texts, labels, quick, family):
    clf = MaxPoolBERTClassifier(tiny(family), **{**quick, **HEAD_ONLY}, **PHASE).fit(texts, labels)
    assert clf.score(texts, labels) > 1 / 3


def test_caching__equals_one_pass(tiny, texts, labels, classifier, monkeypatch):
    parameters = {**PHASE, "dropout": 0.0, "contrastive_weight": 0.7, "head_init": "logistic"}
    whole = classifier(**parameters).fit(texts, labels)
    pool = PooledEncoder.pool

    def small(self, batch, prefix=None):
        if self.training and len(batch.lengths) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pool(self, batch, prefix)

    monkeypatch.setattr(PooledEncoder, "pool", small)
    with pytest.warns(RuntimeWarning, match="smaller micro-batches"):
        parts = classifier(**parameters).fit(texts, labels)
    for phase in ("contrastive", "fine_tuning"):
        np.testing.assert_allclose(losses_of(parts, phase), losses_of(whole, phase), atol=1e-5)
    np.testing.assert_allclose(parts.transform(texts), whole.transform(texts), atol=2e-4)


def test_steps__end_when_the_loss_is_at_its_floor(texts, labels, classifier):
    parameters = {**PHASE, **HEAD_ONLY, "dropout": 0.0, "contrastive_steps": 300, "contrastive_learning_rate": 3e-3}
    clf = classifier(**parameters).fit(texts, labels)
    losses = losses_of(clf, "contrastive")
    assert len(losses) < 300
    assert max(losses[-5:]) < 0.02


def test_steps__of_setfit_take_twenty_rounds(texts, labels, classifier):
    setfit = {"contrastive_pairs": "setfit", "contrastive_steps": "auto", "contrastive_batch_size": 16}
    clf = classifier(**setfit, **HEAD_ONLY, contrastive_learning_rate=1e-4).fit(texts, labels)
    assert len(rows_of(clf, "contrastive")) == 40 * len(texts) / 16


@pytest.mark.parametrize(
    ("n_texts", "size", "steps"),
    [(12, 32, 10), (24, 32, 15), (40, 32, 25), (48, 30, 30), (48, 8, 30), (48, 4, 60)],
    ids=["the least", "20 passes", "20 passes", "the most of 20 passes", "5 passes are as many", "5 passes"],
)
def test_steps__auto__follow_the_number_of_texts(texts, labels, classifier, n_texts, size, steps):
    # At a rate of 0 the loss never comes to its floor.
    phase = {"contrastive_steps": "auto", "contrastive_batch_size": size, "contrastive_learning_rate": 0.0}
    X, y = [f"{text} {k}" for k in range(2) for text in texts][:n_texts], np.tile(labels, 2)[:n_texts]
    clf = classifier(**phase, **HEAD_ONLY).fit(X, y)
    assert len(rows_of(clf, "contrastive")) == steps


@pytest.mark.parametrize(
    ("y", "steps"),
    [(["a"] * 8 + ["b"], 6), (["a", "b", "c"], 0)],
    ids=["a class with one text", "no class with two texts"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_small_classes__have_a_meaning(texts, classifier, y, steps):
    clf = classifier(**PHASE, **HEAD_ONLY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(texts[: len(y)], y)
    assert len(rows_of(clf, "contrastive")) == steps
    assert any("contrastive_steps are left out" in str(item.message) for item in caught) == (steps == 0)


@pytest.mark.parametrize("loss", CONTRASTIVE_LOSSES)
def test_floor__is_not_seen_where_most_classes_have_one_text(classifier, loss):
    X, y = [f"text {k}" for k in range(24)], [0, 0, 1, 1, *range(2, 22)]
    phase = {**PHASE, "contrastive_steps": 30, "contrastive_learning_rate": 0.0, "contrastive_batch_size": 8}
    clf = classifier(**phase, **HEAD_ONLY, contrastive_loss=loss).fit(X, y)
    assert len(rows_of(clf, "contrastive")) == 30


def test_setfit__goes_through_all_pairs_even_at_the_floor(classifier):
    X, y = ["a parcel"] * 4 + ["money back"] * 4, [0] * 4 + [1] * 4
    setfit = {"contrastive_pairs": "setfit", "contrastive_steps": "auto", "contrastive_batch_size": 4}
    clf = classifier(**setfit, **HEAD_ONLY, contrastive_learning_rate=1e-2, dropout=0.0).fit(X, y)
    assert len(rows_of(clf, "contrastive")) == 80
    assert min(losses_of(clf, "contrastive")) < 0.01


def test_setfit__refuses_too_many_texts_for_a_list_of_pairs(texts, labels, classifier, monkeypatch):
    monkeypatch.setattr("skbert.training._contrast._MOST_TEXTS_IN_PAIRS", 20)
    setfit = {"contrastive_pairs": "setfit", "contrastive_steps": 1}
    with pytest.raises(ValueError, match="too many for 24 texts"):
        classifier(**setfit, **HEAD_ONLY).fit(texts, labels)


def test_identical_texts__train(classifier):
    clf = classifier(**PHASE, head_init="logistic", contrastive_weight=1.0)
    clf.fit(["a parcel"] * 4 + ["money back"] * 4, [0] * 4 + [1] * 4)
    assert np.isfinite([row["train_loss"] for row in clf.history_]).all()
    assert clf.predict(["a parcel", "money back"]).tolist() == [0, 1]


def test_multilabel__alike_are_texts_with_the_same_set_of_labels(texts, labels, classifier):
    y = np.column_stack([labels == "order", labels != "login", np.zeros(len(labels), dtype=bool)]).astype(int)
    clf = classifier(**PHASE, **HEAD_ONLY, dropout=0.0).fit(texts, y)
    single = classifier(**PHASE, **HEAD_ONLY, dropout=0.0).fit(texts, labels)
    # The sets of labels are the classes, so the phase is the same up to the order in which classes take turns.
    assert len(rows_of(clf, "contrastive")) == len(rows_of(single, "contrastive"))
    own = normalize(clf.transform(texts).astype(float))
    for label in (0, 1):
        expected = LogisticRegression(max_iter=1000).fit(own, y[:, label]).predict_proba(own)[:, 1]
        np.testing.assert_allclose(clf.predict_proba(texts)[:, label], expected, atol=1e-4)
    np.testing.assert_allclose(clf.predict_proba(texts)[:, 2], 0.5 / 25, atol=1e-6)


def test_status__a_phase_that_diverges_is_caught(texts, labels, classifier):
    clf = classifier(**{**PHASE, "contrastive_learning_rate": 1e38}, **HEAD_ONLY, warmup_ratio=0.0, max_grad_norm=None)
    with pytest.warns(ConvergenceWarning, match=r"non-finite in contrastive step \d"):
        clf.fit(texts, labels)
    assert clf.training_status_ == "diverged"


@pytest.mark.parametrize("after", [HEAD_ONLY, {"head_init": "logistic"}])
def test_status__a_last_step_that_diverges_is_caught(texts, labels, classifier, after):
    wild = {"contrastive_steps": 1, "contrastive_learning_rate": 1e38, "warmup_ratio": 0.0, "max_grad_norm": None}
    with pytest.warns(ConvergenceWarning, match="non-finite in contrastive step 1.*contrastive_learning_rate"):
        clf = classifier(**wild, **after).fit(texts, labels)
    assert clf.training_status_ == "diverged"
    assert {"learning_rate", "dur"} < set(clf.history_[0])


def test_status__advice_without_epochs_is_about_the_phases(texts, classifier):
    y = ["order"] * 22 + ["refund"] * 2
    with pytest.warns(ConvergenceWarning, match="same prediction.*class_weight='balanced'"):
        classifier(**HEAD_ONLY).fit(["the same"] * 24, y)


@pytest.mark.parametrize(
    "more",
    [{"mixout": 0.3}, {"pretrained_decay": 0.1}, {"early_stopping": True}, {"bias_correction": False}],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_phases__run_with_other_ways_of_training(texts, labels, classifier, more):
    clf = classifier(**PHASE, head_init="logistic", contrastive_weight=0.5, **more).fit(texts, labels)
    assert {row["phase"] for row in clf.history_} == {"contrastive", "head", "fine_tuning"}
    assert np.isfinite(clf.predict_proba(texts)).all()


def test_phases__read_pairs_of_texts(texts, labels, classifier):
    pairs = list(zip(texts, texts[::-1], strict=True))
    clf = classifier(**PHASE, **HEAD_ONLY).fit(pairs, labels)
    assert clf.predict(pairs).shape == (24,)


# ------------------------------------------------------------- the joint loss


def test_joint_loss__adds_the_contrastive_loss_of_each_batch(tiny, texts, labels, classifier):
    plain = {"batch_size": 24, "max_epochs": 1, "dropout": 0.0}
    alone, joint = (classifier(**plain, contrastive_weight=w).fit(texts, labels) for w in (0.0, 0.5))
    unit = torch.from_numpy(normalize(pretrained_vectors(tiny(), texts)))
    codes = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    expected = supcon_by_hand(unit, codes, torch.ones(24), 0.1)
    assert joint.loss_curve_[0] - alone.loss_curve_[0] == pytest.approx(0.5 * expected, abs=1e-4)


def pretrained_vectors(folder, texts):
    with torch.no_grad():
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        return mean_of_tokens(model, tokenizer, texts).numpy()


def test_first_step__has_the_loss_of_the_pretrained_vectors(tiny, texts, labels, classifier):
    clf = classifier(**{**PHASE, "contrastive_batch_size": 24}, **HEAD_ONLY, dropout=0.0).fit(texts, labels)
    unit = torch.from_numpy(normalize(pretrained_vectors(tiny(), texts)))
    codes = np.unique(labels, return_inverse=True)[1]
    assert losses_of(clf, "contrastive")[0] == pytest.approx(cosine_by_hand(unit, codes, np.ones(24)), abs=1e-4)


# ------------------------------------------------------------- the head


def test_logistic_head__is_that_of_scikit_learn_on_pooled_vectors(texts, labels, classifier):
    clf = classifier(**HEAD_ONLY).fit(texts, labels)
    vectors = clf.transform(texts).astype(float)
    regression = LogisticRegression(max_iter=1000).fit(vectors, labels)
    np.testing.assert_allclose(clf.predict_proba(texts), regression.predict_proba(vectors), atol=1e-3)


@pytest.mark.parametrize(
    ("n_classes", "steps", "C"),
    [(8, {}, 1.0), (12, {}, 1.5), (12, PHASE, 1.5), (12, {**PHASE, "contrastive_pairs": "setfit"}, 1.0)],
)
def test_logistic_head__many_classes__a_weaker_penalty_except_as_in_setfit(texts, classifier, n_classes, steps, C):
    y = np.arange(24) % n_classes
    clf = classifier(**steps, **HEAD_ONLY).fit(texts, y)
    vectors = clf.transform(texts).astype(float)
    vectors = normalize(vectors) if steps else vectors
    regression = LogisticRegression(C=C, max_iter=1000).fit(vectors, y)
    np.testing.assert_allclose(clf.predict_proba(texts), regression.predict_proba(vectors), atol=1e-3)
    other = LogisticRegression(C=2 * C, max_iter=1000).fit(vectors, y)
    assert np.abs(other.predict_proba(vectors) - regression.predict_proba(vectors)).max() > 2e-3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_head__weights_mean_repetition(texts, labels, classifier, n_classes):
    kept = labels != ("login" if n_classes == 2 else "")
    X, y = list(np.array(texts)[kept]), labels[kept]
    times = np.arange(len(y)) % 3
    weighted = classifier(**HEAD_ONLY).fit(X, y, sample_weight=times)
    repeated = classifier(**HEAD_ONLY).fit(list(np.repeat(X, times)), np.repeat(y, times))
    np.testing.assert_allclose(weighted.predict_proba(texts), repeated.predict_proba(texts), atol=2e-3)


def test_logistic_head__class_weight_is_that_of_scikit_learn(texts, labels, classifier):
    y = np.where(labels == "login", "order", labels)
    clf = classifier(**HEAD_ONLY, class_weight="balanced").fit(texts, y)
    vectors = clf.transform(texts).astype(float)
    regression = LogisticRegression(max_iter=1000, class_weight="balanced").fit(vectors, y)
    np.testing.assert_allclose(clf.predict_proba(texts), regression.predict_proba(vectors), atol=1e-3)


def test_logistic_head__starts_fine_tuning_below_a_random_one(texts, labels, classifier):
    # One step, before which the rate is still 0.
    one = partial(classifier, batch_size=24, max_epochs=1, dropout=0.0)
    random, logistic = (one(head_init=head).fit(texts, labels) for head in ("random", "logistic"))
    assert logistic.loss_curve_[0] < random.loss_curve_[0] - 0.01
    assert logistic.loss_curve_[0] == pytest.approx(losses_of(logistic, "head")[0], abs=1e-5)


def test_logistic_head__records_the_validation_loss(texts, labels, classifier):
    clf = classifier(**PHASE, **HEAD_ONLY, early_stopping=True).fit(texts, labels, X_val=texts[:6], y_val=labels[:6])
    proba = clf.predict_proba(texts[:6])[np.arange(6), np.searchsorted(clf.classes_, labels[:6])]
    assert rows_of(clf, "head")[0]["valid_loss"] == pytest.approx(-np.log(proba).mean(), abs=1e-5)


def test_early_stopping__may_keep_the_logistic_head(texts, labels, classifier):
    wild = {"learning_rate": 0.5, "max_epochs": 4, "early_stopping": True, "n_iter_no_change": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = classifier(head_init="logistic", **wild).fit(texts, labels, X_val=texts, y_val=labels)
    alone = classifier(**HEAD_ONLY).fit(texts, labels)
    assert clf.n_iter_ > clf.best_epoch_ == 0
    np.testing.assert_allclose(clf.predict_proba(texts), alone.predict_proba(texts), atol=1e-6)


@pytest.mark.parametrize("weights", [{"class_weight": {"login": 1, "order": 0, "refund": 0}}, {}])
def test_one_class_with_weight__is_refused_before_the_encoder_is_loaded(texts, labels, classifier, weights):
    clf = classifier(**HEAD_ONLY, **weights).set_params(model="nowhere")
    sample_weight = None if weights else (labels == "login").astype(float)
    with pytest.raises(ValueError, match=r"at least two classes|at least 2 classes"):
        clf.fit(texts, labels, sample_weight=sample_weight)


# ------------------------------------------------------------- as an estimator


def test_warm_start__goes_on_where_the_phases_ended(texts, labels, classifier):
    once = classifier(**PHASE, head_init="logistic", max_epochs=3).fit(texts, labels)
    twice = classifier(**PHASE, **HEAD_ONLY, warm_start=True).fit(texts, labels)
    twice.set_params(contrastive_steps=0, head_init="random", max_epochs=3).fit(texts, labels)
    np.testing.assert_array_equal(twice.predict_proba(texts), once.predict_proba(texts))
    timeless = [[{k: v for k, v in row.items() if k != "dur"} for row in clf.history_] for clf in (once, twice)]
    assert timeless[0] == timeless[1]
    assert [row["epoch"] for row in rows_of(twice, "fine_tuning")] == [1, 2, 3]
    twice.set_params(contrastive_steps=4, head_init="logistic", max_epochs=1).fit(texts, labels)
    assert [row["epoch"] for row in rows_of(twice, "fine_tuning")] == [1, 2, 3, 4]
    assert twice.n_iter_ == len(twice.loss_curve_) == twice.best_epoch_ == 4


def test_seeds__decide_everything(texts, labels, classifier):
    make = partial(classifier, **PHASE, **HEAD_ONLY)
    first, again, other = (make(random_state=seed).fit(texts, labels).predict_proba(texts) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_stream__of_the_phase_leaves_the_others_as_they_are(texts, labels, classifier):
    plain = classifier(learning_rate=0.0, head_learning_rate=0.01).fit(texts, labels)
    after = classifier(learning_rate=0.0, head_learning_rate=0.01, **{**PHASE, "contrastive_learning_rate": 0.0}).fit(
        texts, labels
    )
    np.testing.assert_array_equal(after.predict_proba(texts), plain.predict_proba(texts))


def test_saved__reads_vectors_of_length_one_again(tmp_path, texts, labels, classifier):
    clf = classifier(**PHASE, **HEAD_ONLY).fit(texts, labels)
    clf.save(tmp_path / "clf")
    for copy in (MaxPoolBERTClassifier.load(tmp_path / "clf"), pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(copy.predict_proba(texts), clf.predict_proba(texts))
        assert copy.history_ == clf.history_


def test_progress__has_a_bar_of_its_own(texts, labels, classifier, capfd):
    classifier(**PHASE, **HEAD_ONLY, verbose=1).fit(texts, labels)
    assert "contrastive steps" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be an int of at least 1, got 0.*head_init='logistic'"),
        ({"head_init": "other"}, "head_init must be one of"),
        ({"contrastive_steps": -1}, "contrastive_steps must be"),
        ({"contrastive_steps": "many"}, r'contrastive_steps must be.*or "auto"'),
        ({"contrastive_steps": None}, "contrastive_steps must be"),
        ({"contrastive_loss": "triplet"}, "contrastive_loss must be one of"),
        ({"contrastive_loss": "supcon", "contrastive_pairs": "setfit"}, "has the loss 'cosine'"),
        ({"contrastive_center": "always"}, r'contrastive_center must be True or False, got .always.; or "auto"'),
        ({"contrastive_center": 1}, "contrastive_center must be True or False"),
        ({"contrastive_batch_size": 3}, "contrastive_batch_size must be"),
        ({"contrastive_weight": -0.5}, "contrastive_weight must be"),
        ({"contrastive_temperature": 0.0}, "contrastive_temperature must be"),
        ({"contrastive_steps": 3, "freeze_layers": 4}, "freeze_layers=4 freezes all of it"),
        ({"contrastive_steps": 3, "freeze_layers": 2, "layers": (1,)}, "freeze_layers=2 freezes .* is read is 1"),
        ({"contrastive_steps": 3, "freeze_layers": 4, "head": "pooler"}, "freeze_layers=4 freezes all of it"),
    ],
)
def test_wrong_parameters__are_named(texts, labels, classifier, parameters, message):
    with pytest.raises(ValueError, match=message):
        classifier(**parameters).fit(texts, labels)


@pytest.mark.parametrize("parameters", [{"contrastive_steps": 3}, {"head_init": "logistic"}, {"contrastive_weight": 1}])
def test_regressor__says_that_it_has_no_classes(tiny, texts, quick, parameters):
    with pytest.raises(ValueError, match=r"needs classes.*regression=True"):
        MaxPoolBERTRegressor(tiny(), **quick, **parameters).fit(texts, np.arange(24.0))


@pytest.mark.parametrize("loss", CONTRASTIVE_LOSSES)
def test_minilm__learns_a_new_distinction_from_eight_texts_per_class(minilm, loss):
    texts = [
        f"{word} {noun}" for noun in ("parcel", "lamp", "order", "refund") for word in ("lost", "late", "my", "the")
    ]
    y = ["fault", "fault", "fine", "fine"] * 4
    phase = {"contrastive_steps": 15, "contrastive_loss": loss, "contrastive_learning_rate": 1e-4}
    clf = MaxPoolBERTClassifier(minilm, **MEAN, **phase, **HEAD_ONLY, random_state=0).fit(texts, y)
    assert clf.predict(["lost bicycle", "the bicycle"]).tolist() == ["fault", "fine"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_class_weight__of_zero_leaves_a_class_out_of_all_pairs(texts, labels, classifier):
    X, y = [text for text, label in zip(texts, labels, strict=True) if label != "login"], labels[labels != "login"]
    without = classifier(**PHASE, **HEAD_ONLY, dropout=0.0).fit(X, y)
    weights = {"login": 0.0, "order": 1.0, "refund": 1.0}
    ignored = classifier(**PHASE, **HEAD_ONLY, dropout=0.0, class_weight=weights).fit(texts, labels)
    np.testing.assert_allclose(losses_of(ignored, "contrastive"), losses_of(without, "contrastive"), atol=1e-5)
