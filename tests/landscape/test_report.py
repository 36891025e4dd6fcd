"""The report and the sentences of a landscape."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skbert import LossLandscape, MaxPoolBERTRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Links(HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.pictures = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href"):
                (self.pictures if value.startswith("data:image/svg+xml") else self.fetched).append(value)


def page_of(land, folder, **options):
    return land.report(folder / "page.html", **options).read_text(encoding="utf-8")


def test_report__holds_sentences_pictures_and_numbers_and_fetches_nothing(land, tmp_path):
    page = page_of(land, tmp_path, title="Two <seeds>")
    links = Links(page)
    assert not links.fetched
    assert "Two &lt;seeds&gt;" in page
    # Without curvature, there is no picture of it.
    assert len(links.pictures) == 4
    for sentence in land.conclusions():
        assert sentence.replace("'", "&#39;") in page
    for value in (land.rollback_.whole_val_loss, land.trajectory_losses_[0]):
        assert f"{value:.3f}" in page
    for label in land.classes_:
        assert f"recall, {label}" in page


def test_report__shows_curvature_if_it_was_computed(clf, texts, labels, tmp_path):
    land = LossLandscape(clone(clf), second=None, n_points=3, n_groups=0).fit(texts, labels)
    found = land.curvature(2, 3)
    page = page_of(land, tmp_path)
    assert f"{found.eigenvalues[0]:.3f}" in page
    assert f"{found.trace:.3f}" in page
    assert len(Links(page).pictures) == 2


def test_report__of_numbers_without_held_out_texts(tiny, texts, tmp_path):
    model = MaxPoolBERTRegressor(tiny(), layers=1, max_epochs=1, learning_rate=1e-3, random_state=0, device="cpu")
    land = LossLandscape(model, second="random", n_points=3, n_groups=2, random_state=0).fit(texts, np.arange(24.0))
    page = page_of(land, tmp_path)
    assert "variances of y" in page
    assert "held-out loss" not in page
    assert "recall" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)


def test_conclusions__give_the_numbers_of_the_landscape(land):
    said = " ".join(land.conclusions()).replace("\u2212", "-")
    for value in (land.line_.train_loss[1], land.rollback_.val_error[0], land.barrier_):
        assert f"{value:.3g}" in said
    assert f"rank correlation of training loss and held-out loss is {land.consistency_:.2f}" in said
    assert "Flatness says nothing about other texts by itself" in said


def test_conclusions__name_the_lowest_held_out_loss_with_its_error(land):
    line = land.line_
    place = int(line.val_loss.argmin())
    (said,) = (sentence for sentence in land.conclusions() if sentence.startswith("On the line"))
    if land.alphas_[place] == 1.0:
        assert "no point has a lower held-out loss" in said
    else:
        end = int(np.flatnonzero(land.alphas_ == 1.0)[0])
        gained = line.val_losses[end] - line.val_losses[place]
        assert f"{gained.mean():.3g}" in said
        assert f"{gained.std(ddof=1) / 3:.3g}" in said  # nine texts


def test_losses_by_label__are_the_means_of_its_texts(land, labels, val):
    for part, own in (("train", labels), ("val", val[1])):
        for which, points in (("line", land.line_), ("surface", land.surface_)):
            found = land.losses_by_label(which, part)
            for label in land.classes_:
                expected = points[f"{part}_losses"][..., own == label].mean(axis=-1, dtype=float)
                np.testing.assert_allclose(found[label], expected)


def test_losses_by_label__that_are_not_there_are_refused(clf, texts, labels):
    land = LossLandscape(clone(clf), second=None, n_points=3, n_groups=0).fit(texts, labels)
    for wrong in (("surface", "train"), ("line", "val")):
        with pytest.raises(ValueError, match="has no"):
            land.losses_by_label(*wrong)
    for ask in (lambda one: one.report("x.html"), lambda one: one.conclusions(), lambda one: one.losses_by_label()):
        with pytest.raises(NotFittedError):
            ask(LossLandscape(clf))
