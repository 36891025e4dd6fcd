"""The helpdesk dataset: customer messages to a shop, labelled by intent."""

from __future__ import annotations

import csv
import io
from importlib.resources import files
from typing import Literal, overload

import numpy as np
from sklearn.utils import Bunch

_DESCR = """\
Helpdesk: short customer messages by intent
-------------------------------------------

Messages to the support desk of an invented shop for smart-home devices, each
labelled by what its writer wants from the desk. Every message was written for
skbert; none is copied, and none comes from a template.

:Number of texts: {n} ({per_class} per intent)
:Language: {language}
:Length: {lengths}
:Intents:
    - account_access: get into or manage the login and profile
    - billing: a charge, price, invoice or payment to explain or correct
    - cancellation: stop a subscription, an unsent order or the account
    - order_status: where a parcel is and when it comes
    - return_refund: send goods back, exchange them, or get the money for them
    - technical_issue: make a device or its app work
:Missing values: none
:Licence: CC0 1.0

Many messages use the words of a similar intent (a charge after a cancellation, an
app that stops after the login, a late parcel that the buyer no longer wants), and
many avoid the typical word of their own intent. Spelling is natural: most of it is
correct, some of it was typed on a phone.

The order of the rows is random but fixed. Scores on this dataset show how well an
estimator works with few texts. The dataset is not a benchmark from the literature.
"""


@overload
def load_helpdesk(lang: str = "en", return_X_y: Literal[False] = False) -> Bunch: ...


@overload
def load_helpdesk(lang: str = "en", *, return_X_y: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...


@overload
def load_helpdesk(lang: str, return_X_y: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...


def load_helpdesk(lang: str = "en", return_X_y: bool = False) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load the helpdesk dataset: short customer messages in six classes.

    Parameters
    ----------
    lang : {"en", "ja"}, default="en"
        English or Japanese messages, written independently of each other.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With ``data`` (object array of str, (n_texts,)), ``target`` (object array of str, (n_texts,), the intent
        of each text), ``target_names`` (list of the six intents in sorted order), ``DESCR`` and ``filename``.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    ValueError
        If `lang` is neither ``"en"`` nor ``"ja"``.

    Examples
    --------
    >>> from skbert.datasets import load_helpdesk
    >>> helpdesk = load_helpdesk()
    >>> helpdesk.target_names[:3]
    ['account_access', 'billing', 'cancellation']
    """
    if lang not in ("en", "ja"):
        raise ValueError(f"lang must be 'en' or 'ja', got {lang!r}")
    filename = f"helpdesk_{lang}.csv"
    with files(__package__).joinpath(filename).open("rb") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")))
    data = np.array([row["text"] for row in rows], dtype=object)
    target = np.array([row["label"] for row in rows], dtype=object)
    if return_X_y:
        return data, target
    names, counts = np.unique(target.astype(str), return_counts=True)
    if lang == "en":
        size = [len(text.split()) for text in data]
        lengths = f"{min(size)} to {max(size)} words, median {int(np.median(size))}"
    else:
        size = [len(text) for text in data]
        lengths = f"{min(size)} to {max(size)} characters, median {int(np.median(size))}"
    descr = _DESCR.format(
        n=len(data),
        per_class=", ".join(map(str, sorted(set(counts.tolist())))),
        language={"en": "English", "ja": "Japanese"}[lang],
        lengths=lengths,
    )
    return Bunch(data=data, target=target, target_names=names.tolist(), DESCR=descr, filename=filename)
