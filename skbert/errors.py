"""The errors that skbert itself raises.

Each one also derives from the built-in error that a caller would expect. So
``except OSError`` or ``except MemoryError`` works without knowledge of skbert.
"""


class SkbertError(Exception):
    """Base class of the errors below; it is never raised itself."""


class ModelNotFoundError(SkbertError, OSError):
    """The pretrained encoder is unknown, not available or damaged.

    The message names the model, the places that were searched, and what to install or set.
    """


class OutOfMemoryError(SkbertError, MemoryError):
    """There is not enough memory for one single text, so a smaller micro-batch cannot help.

    The message gives the device, the number of tokens and what to change.
    """


class SavedEstimatorError(SkbertError, OSError, ValueError):
    """A folder written by ``save`` is damaged, incomplete or of another class."""


class RunStoreError(SkbertError, ValueError):
    """The file given as the store of a study contains something else: runs of another study, or no runs at all.

    The message says what is different, and what to do.
    """
