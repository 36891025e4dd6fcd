"""Docstrings of what is public are complete, agree with their signatures, and show how it is used."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import skbert
from tests.helpers.public import listed_names, public_objects

PUBLIC = public_objects()

# What numpydoc asks for and we do not.
NOT_ASKED_FOR = {
    "ES01": "one sentence is often all there is to say",
    "SA01": "See Also is for what a reader would not find by itself",
    "RT03": "`self`, or a type with its shape and names, says it",
    "SS05": "it takes nouns that end in s for verbs in the third person",
}
# And of some objects.
EXCEPT_FOR = {
    # A study makes it; its fields stand among the Attributes.
    "skbert.stability.Comparison": {"PR01"},
    "skbert.stability.Correlation": {"PR01"},
    # They are raised by skbert, not by its users.
    **{name: {"EX01"} for name in PUBLIC if name.endswith("Error")},
}


def complaints(name):
    codes = {code: message for code, message in validate(name)["errors"] if code not in NOT_ASKED_FOR}
    return {code: message for code, message in codes.items() if code not in EXCEPT_FOR.get(name, ())}


def parameters_of(value):
    """Parameters of a function, or of what makes a class, without `self`."""
    function = value.__init__ if inspect.isclass(value) else value
    return {name: p for name, p in inspect.signature(function).parameters.items() if name not in ("self", "cls")}


def documented_defaults(value):
    """The text after ``default=`` of each documented parameter, "" where there is none."""
    sections = FunctionDoc(value)["Parameters"]
    return {name: p.type.partition("default=")[2] for p in sections for name in p.name.split(", ")}


def disagreements(value):
    """Parameters of which the docstring does not give the default, or gives another."""
    said, wrong = documented_defaults(value), []
    for name, parameter in parameters_of(value).items():
        if parameter.default is inspect.Parameter.empty:
            agrees = said[name] == ""
        else:
            agrees = said[name] != "" and ast.literal_eval(said[name]) == parameter.default
        wrong += [] if agrees else [name]
    return wrong


def test_page_of_the_api__lists_every_public_name():
    listed = {name.rpartition(".")[2] for name in listed_names()}
    assert set(skbert.__all__) - {"__version__"} <= listed


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring__is_complete(name):
    assert complaints(name) == {}


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in EXCEPT_FOR])
def test_docstring__gives_the_defaults_of_the_signature(name):
    assert disagreements(PUBLIC[name]) == []


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.endswith("Error")])
def test_signature__is_annotated(name):
    function = PUBLIC[name].__init__ if inspect.isclass(PUBLIC[name]) else PUBLIC[name]
    bare = [each for each, p in parameters_of(PUBLIC[name]).items() if p.annotation is inspect.Parameter.empty]
    assert bare == []
    assert "return" in function.__annotations__


def test_disagreement__is_found():
    def scale(values, factor=2.0, offset=0, *, clip=False):
        """Scale values.

        Parameters
        ----------
        values : array
        factor : float, default=1.0
        offset : int
        clip : bool, default=False
        """

    assert disagreements(scale) == ["factor", "offset"]


def test_doctests__are_at_least_twenty_lines_in_a_thousand():
    files = [path.read_text(encoding="utf-8") for path in Path(skbert.__file__).parent.rglob("*.py")]
    lines = [line for file in files for line in file.splitlines()]
    shown = [line for line in lines if re.match(r"\s*(>>>|\.\.\.)( |$)", line)]
    assert 1000 * len(shown) / len(lines) >= 20
