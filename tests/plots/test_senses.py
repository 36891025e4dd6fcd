"""SensesDisplay draws what Word2Sense found."""

import matplotlib.figure
import numpy as np
import pytest

from skbert.plots import SensesDisplay
from tests.senses.conftest import planted_texts

SENSES = [(7, 0.5, ["money", "$loan"]), (0, 0.3, ["river"]), (2, 0.2, ["very", "long", "words", "x" * 60])]


def bars(ax):
    return [(bar.get_x(), bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in ax.patches]


def test_senses__a_bar_each_from_top_to_bottom():
    display = SensesDisplay("bank", SENSES).plot()
    np.testing.assert_allclose(bars(display.ax_), [(0, 0.5, 0), (0, 0.3, 1), (0, 0.2, 2)], atol=1e-9)
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names[0] == r"sense 7: money, \$loan"
    # Only whole words.
    assert names[2] == "sense 2: very, long, words"
    assert display.ax_.get_ylim() == (2.5, -0.5)
    assert "bank" in display.figure_.get_suptitle()
    assert [text.get_text() for text in display.ax_.texts] == [" 0.50", " 0.30", " 0.20"]


def test_contexts__parts_of_each_bar_add_up_and_have_names():
    contexts = np.zeros((3, 12))
    contexts[:, 7], contexts[:, 0] = [0.5, 0.2, 0.0], [0.5, 0.8, 0.1]
    contexts[2, 3:12] = 0.1
    contexts[2, 7] = 0.1
    display = SensesDisplay("bank", SENSES, contexts=contexts, labels=["a _loan", "a river", "all"]).plot_contexts()
    for row in range(3):
        widths = [width for _, width, y in bars(display.ax_) if abs(y - row) < 1e-9]
        assert sum(widths) == pytest.approx(1)
    legend = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    # Six senses by their total weight, and the rest.
    assert legend[0] == "sense 0: river"
    assert legend[1].startswith("sense 7: money")
    assert len(legend) == 7
    assert legend[-1] == "other senses"
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a _loan", "a river", "all"]


def test_axes_of_the_user__are_drawn_on():
    left, right = matplotlib.figure.Figure().subplots(1, 2)
    display = SensesDisplay("bank", SENSES, contexts=np.array([[0.5, 0.5]]))
    assert display.plot(left, title="mine").ax_ is left
    assert left.get_title() == "mine"
    assert display.plot_contexts(right).ax_ is right
    assert [label.get_text() for label in right.get_yticklabels()] == ["1"]


def test_display_without_contexts__says_what_is_missing():
    with pytest.raises(ValueError, match="no contexts"):
        SensesDisplay("bank", SENSES).plot_contexts()


def test_from_estimator__takes_the_numbers_of_the_model():
    from skbert import Word2Sense

    model = Word2Sense(n_topics=3, random_state=0).fit(planted_texts(n=90))
    display = SensesDisplay.from_estimator(model, "bank", n_words=2)
    assert display.senses == model.senses_of("bank", 2)
    assert display._repr_png_().startswith(b"\x89PNG")
