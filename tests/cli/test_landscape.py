"""`skbert landscape`: a page about the way of the training."""

import pytest

from skbert import LossLandscape, MaxPoolBERTClassifier, recipes
from tests.cli.conftest import QUICK


@pytest.fixture
def command(table, tiny, tmp_path):
    """The arguments of a quick run, and the page that it writes."""
    page = tmp_path / "page.html"
    options = ["--model", tiny(), "--points", 3, "--groups", 2, *QUICK, "--set", "max_epochs=2"]
    return ["landscape", table, "--report", page, *options], page


def test_landscape__writes_a_page_and_says_what_it_shows(run, command):
    arguments, page = command
    status, out, _ = run(*arguments)
    assert status == 0
    assert "From start to end, the loss of the held-out texts goes from" in out
    assert f"Report: {page}" in out
    text = page.read_text(encoding="utf-8")
    assert "Curvature at the end" in text
    assert text.count("data:image/svg+xml") == 5


def test_landscape__without_held_out_texts_and_curvature(run, command):
    arguments, page = command
    status, out, _ = run(*arguments, "--held-out", 0, "--second", "none", "--no-curvature")
    assert status == 0
    assert "held-out" not in out
    assert page.read_text(encoding="utf-8").count("data:image/svg+xml") == 3


def test_landscape__is_the_one_of_the_class(run, command, table, tiny, texts, labels):
    arguments, _ = command
    _, out, _ = run(*arguments, "--held-out", 0, "--second", "none", "--no-curvature", "--recipe", "devlin2019")
    parameters = recipes.get("devlin2019") | {"batch_size": 8, "learning_rate": 5e-3, "max_epochs": 2}
    model = MaxPoolBERTClassifier(
        tiny(), layers=1, token_pooling="cls", **parameters, random_state=0, device="cpu"
    ).set_params(layer_decay=1.0)
    land = LossLandscape(model, second=None, n_points=3, n_groups=2, random_state=0).fit(texts, labels)
    assert land.conclusions()[0] in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--second", "data"], "--second is seed, random or none"),
        (["--held-out", 0.01], "--held-out 0.01 cannot divide these texts"),
        (["--groups", 9], "n_groups=9, but the encoder runs 4 layers"),
        (["--label", "text", "--label", "label"], "exactly one --label"),
    ],
)
def test_landscape__wrong_options_are_refused_before_anything_is_written(run, command, options, words):
    arguments, page = command
    status, _, err = run(*arguments, *options)
    assert status == 1
    assert words in err
    assert not page.exists()
