"""The errors that skbert raises on its own account.

Each one also derives from the built-in error that a caller would guess, so
``except OSError`` or ``except MemoryError`` keep working without knowing skbert.
"""


class SkbertError(Exception):
    """Base class of the errors below; never raised itself."""


class ModelNotFoundError(SkbertError, OSError):
    """The pretrained encoder is unknown, out of reach or damaged.

    The message names the model, the place that was looked in, and what to install or set.
    """


class OutOfMemoryError(SkbertError, MemoryError):
    """One single text does not fit into memory, so no smaller micro-batch can help.

    The message gives the device, the number of tokens and what to change.
    """


class SavedEstimatorError(SkbertError, OSError, ValueError):
    """A folder written by ``save`` is damaged, incomplete or of another class."""


class RunStoreError(SkbertError, ValueError):
    """The file given as store of a study holds something else: another study's runs, or no runs at all.

    The message says in what it differs, and what to do.
    """
