"""The report of a study: one page that holds everything and fetches nothing."""

import base64
import functools
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skbert
from skbert import LayerPoolFeaturizer, StabilityStudy
from tests.helpers.study_models import Constant, Guesser, labelled_texts


class Page(HTMLParser):
    """Text of a page, its tables as rows of cells, and everything that it refers to; complains of unclosed tags."""

    _EMPTY = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, source):
        super().__init__()
        self.open, self.rows, self.links, self.images, self.words = [], [], [], [], []
        self.feed(source)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [value for name, value in attrs.items() if name in ("src", "href", "action", "srcset")]
        if tag == "img":
            self.images.append(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()


def page_of(study, tmp_path, **parameters):
    path = study.report(tmp_path / "report.html", **parameters)
    source = path.read_text(encoding="utf-8")
    # Self-contained: no address, no script, no file beside it.
    assert not re.search(r"https?://|<script|@import|url\(", source)
    page = Page(source)
    assert page.links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    return page


@pytest.fixture(scope="module")
def study():
    variants = {"poor": {"luck": 0.2}, "good & <b>": {"luck": 0.95}, "stuck": Constant(luck=0.1)}
    with pytest.warns(RuntimeWarning, match="constant"):
        return StabilityStudy(Guesser(), variants, seeds=10, train_sizes=[8, 16], random_state=0).fit(
            *labelled_texts(80)
        )


def test_report__answers_the_question_in_sentences_that_can_be_quoted(study, tmp_path):
    page = page_of(study, tmp_path, title="Guessing & knowing")
    assert page.text.startswith("Guessing & knowing Guessing & knowing Made on")
    row = study.comparisons().set_index(["a", "b"]).loc[("poor", "good & <b>")]
    best = study.compare("good & <b>", "poor")
    sentence = best.sentence(pvalue=row["adjusted_pvalue"], pvalue_here=row["adjusted_pvalue_here"], n_comparisons=9)
    assert "good & <b> beats poor by" in sentence
    assert "adjusted for 9 comparisons" in sentence
    assert sentence in page.text


def test_report__holds_design_scores_failed_runs_versions_hashes_and_seeds(study, tmp_path):
    page = page_of(study, tmp_path)
    assert ["Texts", "80, 80 of them distinct"] in page.rows
    assert ["Labels", "no (40), yes (40)"] in page.rows
    for record in study.summary().to_dict("records"):
        cells = [record["variant"], str(record["size"]), "10", f"{record['mean']:.3f}"]
        assert any(row[:4] == cells for row in page.rows)
    stuck = study.results_[study.results_["variant"] == "stuck"]
    for record in stuck.to_dict("records"):
        cells = ["stuck", str(record["size"]), str(record["draw"]), str(record["random_state"]), "constant"]
        assert cells in page.rows
    for name, value in study.facts_["code"].items():
        assert [name, str(value)] in page.rows
    assert study.facts_["code"]["skbert"] == skbert.__version__
    assert ["Hash of the texts", study.facts_["data"]["X"]] in page.rows
    # Every run, with its seed and its scores to be looked up.
    for record in study.results_.to_dict("records"):
        start = [record["variant"], str(record["size"]), str(record["draw"])]
        assert any(row[:3] == start and f"{record['accuracy']:.4f}" in row for row in page.rows)


def test_report__has_four_figures_that_are_svg_and_are_described(study, tmp_path):
    page = page_of(study, tmp_path)
    assert [image["alt"].split(":")[0] for image in page.images] == [
        "Learning curves",
        "Runs",
        "Paired differences",
        "Best of n",
    ]
    for image in page.images:
        svg = base64.b64decode(image["src"].partition(",")[2])
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_report__of_one_variant_and_one_size_leaves_out_what_there_is_not(tmp_path):
    study = StabilityStudy(Guesser(), seeds=2, baselines=(), random_state=0).fit(*labelled_texts(40))
    assert study.conclusions()[0].endswith(
        "(n = 2 runs, too few for an interval). There is nothing to compare it with."
    )
    page = page_of(study, tmp_path)
    assert len(page.images) == 2
    assert "Paired comparisons" not in page.text
    assert "Failed runs None." in page.text


def test_report__shows_training_scores_run_by_run_and_nowhere_among_the_scores(tmp_path):
    luck = {"luck": lambda fitted, X, y: fitted.luck / 4}
    done = StabilityStudy(Guesser(luck=0.5), seeds=3, baselines=(), train_scoring=luck, random_state=0)
    page = page_of(done.fit(*labelled_texts(40)), tmp_path)
    assert ["Training scores", "train_luck"] in page.rows
    head = next(row for row in page.rows if "random_state" in row)
    assert head[6:9] == ["accuracy", "f1_macro", "train_luck"]
    assert [row for row in page.rows if "train_luck" in row] == [["Training scores", "train_luck"], head]
    assert sum(row[8:9] == ["0.1250"] for row in page.rows) == 3


def test_report__of_a_crossed_design_shows_where_the_variance_comes_from(tmp_path):
    study = StabilityStudy(
        Guesser(), {"a": {}, "b": {"luck": 0.9}}, seeds={"init": 3, "order": 3}, baselines=(), random_state=0
    ).fit(*labelled_texts(60))
    page = page_of(study, tmp_path)
    assert "Where the variance of accuracy comes from" in page.text
    for record in study.variance_components().to_dict("records"):
        assert any(row[:4] == ["a", "45", record["source"], str(record["levels"])] for row in page.rows)
    assert ["Seeds", "crossed: 3 of init, 3 of order"] in page.rows
    assert "On one draw of these 60 texts b scores" in page.text
    for sentence in study.variance_conclusions():
        assert sentence in page.text


def test_report__of_an_interrupted_study_says_what_is_missing(tmp_path, monkeypatch):
    def stopped_after(n):
        done = []

        def fit(self, X, y, fit=Guesser.fit):
            if len(done) == n:
                raise KeyboardInterrupt
            done.append(1)
            return fit(self, X, y)

        study = StabilityStudy(Guesser(), {"a": {}, "b": {}}, seeds=4, baselines=(), random_state=0)
        with monkeypatch.context() as patch:
            patch.setattr(Guesser, "fit", fit)
            with pytest.raises(KeyboardInterrupt):
                study.fit(*labelled_texts(40))
        return study

    page = page_of(stopped_after(5), tmp_path)
    assert "This study was interrupted: 3 of 8 runs are missing." in page.text
    with pytest.raises(ValueError, match="No run has finished yet"):
        stopped_after(0).report(tmp_path / "none.html")


def test_report__of_runs_without_any_score(tmp_path):
    with pytest.warns(RuntimeWarning, match="unlucky"):
        study = StabilityStudy(Guesser(fails_on=range(4)), seeds=2, baselines=("majority",), random_state=0).fit(
            *labelled_texts(40)
        )
    page = page_of(study, tmp_path)
    assert "is unlucky" in page.text


def shout(X):
    return [text.upper() for text in X]


def test_report__shows_functions_by_name_and_no_address(tmp_path):
    study = StabilityStudy(
        make_pipeline(FunctionTransformer(shout), TfidfVectorizer(preprocessor=str.lower), LogisticRegression()),
        {"plain": {}, "partial": {"functiontransformer__func": functools.partial(shout)}},
        seeds=2,
        random_state=0,
    ).fit(*labelled_texts(40))
    page = page_of(study, tmp_path)
    assert "FunctionTransformer(func=shout)" in page.text
    assert "functools.partial(shout)" in page.text
    assert not re.search(r"0x[0-9a-f]{4}", page.text)


def test_report__failed_runs_have_no_address_in_their_reason(tmp_path):
    def broken(X):
        raise RuntimeError(f"{object()!r} is to blame")

    study = StabilityStudy(
        make_pipeline(FunctionTransformer(broken), LogisticRegression()), seeds=1, baselines="majority", random_state=0
    )
    with pytest.warns(RuntimeWarning, match="1 of 2 runs failed"):
        study.fit(*labelled_texts(40))
    page = page_of(study, tmp_path)
    assert "<object object> is to blame" in page.text


def test_report__of_one_variant_alone_describes_it_and_names_the_encoder(tiny, texts, labels, tmp_path):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny()), LogisticRegression())
    given = {"seeds": 3, "test_size": 6, "baselines": (), "random_state": 0}
    study = StabilityStudy(pipeline, {"frozen": {}}, **given).fit(texts, labels)
    (sentence,) = study.conclusions()
    row = study.summary().iloc[0]
    assert sentence == (
        f"frozen: mean accuracy {row['mean']:.3f} with 18 training texts (95% interval of the mean on these texts "
        f"{row['low']:.3f} to {row['high']:.3f}, n = 3 runs). There is nothing to compare it with."
    )
    page = Page(study.report(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert sentence in page.text
    assert [f"Hash of the encoder {tiny()}", study.facts_["encoders"][str(tiny())]] in page.rows
