"""Rows of the table of claims, and how they are printed and saved."""

import csv
from dataclasses import astuple, dataclass
from datetime import date

import numpy as np

from benchmarks._table import machine, versions


@dataclass(frozen=True)
class Claim:
    """One figure, by the usual way and by the library.

    Attributes
    ----------
    part : str
    what, setting : str
    usual, ours : float or None
        None where there is no such way.
    error : float
        Monte-Carlo standard error of `ours`; 0 where it was counted out.
    least, most : float or None
        What `ours` is to be.
    """

    part: str
    what: str
    setting: str
    usual: float | None
    ours: float | None
    error: float
    least: float | None = None
    most: float | None = None

    @property
    def asked(self):
        """The bounds in words."""
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"at least {self.least:g}"
        return "" if self.most is None else f"at most {self.most:g}"

    @property
    def met(self):
        """ "yes", "no", "within error" where two standard errors decide, or nothing where nothing is asked."""
        if not self.asked:
            return ""
        low, high = -np.inf if self.least is None else self.least, np.inf if self.most is None else self.most
        if low <= self.ours <= high:
            return "yes"
        return "within error" if low - 2 * self.error <= self.ours <= high + 2 * self.error else "no"

    def cells(self):
        """What the table shows."""
        ours = _number(self.ours) + (f" ± {self.error:.3f}" if self.error else "")
        return [self.what, self.setting, _number(self.usual), ours, self.asked, self.met]


def _number(value):
    return "" if value is None else f"{value:.3f}"


def share(hits):
    """Mean of hits, bool array (n_pools, ...), and its standard error over pools."""
    by_pool = np.asarray(hits, dtype=float).reshape(len(hits), -1).mean(axis=1)
    return float(by_pool.mean()), float(by_pool.std(ddof=1) / np.sqrt(len(by_pool)))


_HEADER = ["claim", "setting", "the usual way", "skbert", "asked", "met"]


def markdown(claims):
    """The rows as markdown tables, one for each part."""
    lines = []
    for part in dict.fromkeys(claim.part for claim in claims):
        rows = [claim.cells() for claim in claims if claim.part == part]
        table = [_HEADER, ["---", "---", "---:", "---:", "---", "---"], *rows]
        lines += [f"### {part}", "", *("| " + " | ".join(row) + " |" for row in table), ""]
    return "\n".join(lines)


def save(claims, folder, note):
    """Save all rows as ``claims.csv`` and ``claims.md``, and return the markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "claims.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Claim.__dataclass_fields__, "asked", "met"])
        writer.writerows([*astuple(claim), claim.asked, claim.met] for claim in claims)
    text = f"{date.today()}, {machine()}; {versions()}.\n\n{note}{markdown(claims)}"
    (folder / "claims.md").write_text(text, encoding="utf-8")
    return text
