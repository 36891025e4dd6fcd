"""`skbert senses`, from a corpus to what is printed."""

import re

import pandas as pd
import pytest

from skbert import Word2Sense
from tests.senses.conftest import planted_texts


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(planted_texts()), encoding="utf-8")
    return path


def senses_in(out):
    """(weight, sense, words) of each printed sense."""
    found = re.findall(r"^  (\d\.\d\d)  sense (\d+): (.*)$", out, re.M)
    return [(float(weight), int(sense), words.split(", ")) for weight, sense, words in found]


def test_senses_of_a_word__are_those_of_the_estimator(run, corpus):
    status, out, _ = run("senses", corpus, "--word", "Bank", "--topics", "3", "--top", "4")
    assert status == 0
    assert "300 texts, 3600 tokens, 25 words in the vocabulary" in out
    assert "Bank: 2 of 3 senses" in out
    expected = Word2Sense(n_topics=3, random_state=0).fit(planted_texts()).senses_of("bank", 4)
    assert senses_in(out) == [(round(weight, 2), sense, words) for sense, weight, words in expected]


def test_several_words_of_a_table(run, tmp_path):
    path = tmp_path / "corpus.csv"
    pd.DataFrame({"body": planted_texts()}).to_csv(path, index=False)
    arguments = ("--text", "body", "--word", "bank", "--word", "c1", "--topics", "3", "--min-count", "5")
    status, out, _ = run("senses", path, *arguments)
    assert status == 0
    assert "bank: 2 of 3 senses" in out
    assert "c1: 1 of 3 senses" in out


def test_rare_word__is_refused_before_anything_is_learned(run, corpus, monkeypatch):
    monkeypatch.setattr(Word2Sense, "fit", lambda *args: pytest.fail("it was fitted"))
    status, _, err = run("senses", corpus, "--word", "bank", "--word", "river")
    assert status == 1
    assert "'river' occurs 0 times, fewer than --min-count 20" in err


def test_japanese(run, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("銀行にお金を預ける。\n川で魚を釣る。\n" * 30, encoding="utf-8")
    status, out, _ = run("senses", path, "--word", "銀行", "--topics", "2", "--tokenizer", "mecab")
    assert status == 0
    assert "預ける" in out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("empty.txt", " \n\n", "no text"), ("none.txt", None, "no file"), ("wrong.csv", "a\nb\n", "text")],
)
def test_corpus_without_texts__is_refused(run, tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    status, _, err = run("senses", path, "--word", "bank")
    assert status == 1
    assert message in err


def test_unknown_tokenizer__is_refused(run, corpus):
    status, _, err = run("senses", corpus, "--word", "bank", "--tokenizer", "sudachi")
    assert status == 1
    assert "'mecab'" in err
