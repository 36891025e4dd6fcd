"""The package as a whole: lazy imports, public names."""

import subprocess
import sys

import pytest

import skbert


def test_import__loads_nothing_heavy():
    code = "import sys, skbert; print([m for m in ('torch', 'transformers', 'sklearn', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", skbert.__all__)
def test_public_names__are_there_and_documented(name):
    value = getattr(skbert, name)
    assert name in dir(skbert)
    if name != "__version__":
        assert value.__doc__


def test_unknown_name__is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = skbert.Nothing


def test_errors__derive_from_what_a_caller_would_guess():
    assert issubclass(skbert.ModelNotFoundError, OSError)
    assert issubclass(skbert.OutOfMemoryError, MemoryError)
    assert issubclass(skbert.SavedEstimatorError, (OSError, ValueError))
