"""The Python code of README and documentation runs, page by page, as a reader would type it in.

The blocks of a page share one namespace, in an empty folder. To be quick, what is said here is made smaller before
they run: a random encoder of six narrow layers stands for any that is named, one epoch for many, two seeds for
twenty, 48 texts for more. So this shows that the code runs, not what comes out of it.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from skbert import LossLandscape, MaskedLanguageModel, MaxPoolBERTClassifier
from skbert.datasets import load_helpdesk

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "```python" in path.read_text(encoding="utf-8") and not {"_build", "generated", "auto_examples"} & {*path.parts}
)

# What is made smaller, by pattern; {encoder} is the folder of the small one.
SMALLER = {
    r'"(minilm|bert-base-uncased|tohoku-nlp/bert-base-japanese-v3)"': '"{encoder}"',
    r"\*\*recipes\.get\(([^()]*)\)": r'**{{**recipes.get(\1), "max_epochs": 1}}',
    r"\brecipes\.get\(\"few_data\"([^()]*)\)": r'{{**recipes.get("few_data"\1), "contrastive_steps": 2}}',
    r"\bseeds=\d+": "seeds=2",
    r"\bcv=\d+": "cv=2",
    r"\bn_points=\d+": "n_points=3",
    r"\bmax_steps=\d+": "max_steps=2",
    r"\bvocabulary=\d+": "vocabulary=300",
    r"\[:(90|120)\]": "[:48]",
    # Of the parameters of a study: workers would not know of the smaller default below.
    r"\bn_jobs=-1": "n_jobs=None",
}

# Pages that go on from what an earlier one made: the names that they take as known.
GOES_ON_WITH = {
    "docs/guide/landscape.md": {"X", "y"},
    "docs/guide/pretraining.md": {"texts", "unlabelled", "X", "y"},
    "docs/guide/skip_layers.md": {"clf", "X", "y"},
    "docs/guide/training.md": {"X", "y"},
    "docs/guide/stability.md": {"clf", "X", "y", "variants", "frame"},
}

# Pages whose code is not run here, with the reason.
NOT_RUN = {"docs/guide/parallel.md": "needs a Dask scheduler and Ray; tests/stability/test_study_on_dask.py has Dask"}


def python_blocks(page):
    """The code of each block of a page, moved down to its line so that an error names it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1]


def smaller(code, encoder):
    for pattern, replacement in SMALLER.items():
        code = re.sub(pattern, replacement.format(encoder=encoder), code)
    return code


@pytest.fixture
def known(tiny):
    """What pages take as known, by name."""
    X, y = load_helpdesk(return_X_y=True)
    folder = tiny(n_layers=6)
    return {
        "clf": MaxPoolBERTClassifier(folder, max_epochs=1, random_state=0),
        "X": X[:72],
        "y": y[:72],
        "texts": list(X[:72]),
        "unlabelled": list(X[72:90]),
        "variants": {"[CLS]": {"layers": 1, "token_pooling": "cls"}, "MaxPoolBERT": {}},
        "frame": pd.DataFrame({"method": ["a", "b"] * 4, "dataset": "d", "draw": [0, 0, 1, 1] * 2, "f1": range(8)}),
    }


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOT_RUN])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.* runs failed:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* longer than max_length|The full model predicts one class:UserWarning")
def test_code_of_a_page__runs(page, known, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MaxPoolBERTClassifier.__init__.__kwdefaults__, "max_epochs", 1)
    monkeypatch.setitem(LossLandscape.__init__.__kwdefaults__, "n_points", 3)
    monkeypatch.setitem(MaskedLanguageModel.__init__.__kwdefaults__, "max_steps", 2)
    namespace = {name: known[name] for name in GOES_ON_WITH.get(page, ())}
    for code in python_blocks(page):
        if "sklearn.callback" in code and find_spec("sklearn.callback") is None:
            continue  # the page says that it needs scikit-learn 1.9
        exec(compile(smaller(code, tiny(n_layers=6)), page, "exec"), namespace)


@pytest.mark.parametrize("page", NOT_RUN)
def test_code_that_is_not_run__is_python_at_least(page):
    for code in python_blocks(page):
        compile(code, page, "exec")


def included():
    """(page, file, name of the object or None) of everything that a page includes from the code."""
    for path in (ROOT / "docs" / "development").glob("*.md"):
        for file, options in re.findall(r"\{literalinclude\} (\S+)\n((?: *:.*\n)*)", path.read_text(encoding="utf-8")):
            name = re.search(r":pyobject: (\S+)", options)
            yield path.name, path.parent / file, name and name[1]


@pytest.mark.parametrize(("page", "file", "name"), list(included()))
def test_what_a_page_includes__is_there(page, file, name):
    scope = ast.parse(file.read_text(encoding="utf-8"))
    for part in name.split(".") if name else ():
        (scope,) = (node for node in scope.body if getattr(node, "name", None) == part)


def test_tables__name_what_is_there():
    assert {*GOES_ON_WITH, *NOT_RUN} <= set(PAGES)
    code = "".join(block for page in PAGES for block in python_blocks(page))
    assert [pattern for pattern in SMALLER if not re.search(pattern, code)] == []
