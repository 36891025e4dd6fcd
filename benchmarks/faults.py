"""What survives kills, damage and bad input, counted.

python -m benchmarks.faults [--only kills] [--kills 100] [--places 200] [--seed 0] [--report docs/reports/faults.md]

Kills end processes of this machine with SIGKILL, all of them its own children; they are found by /proc, so that part
runs on Linux only. Without --only the whole takes about half an hour on two cores.
"""

import argparse
import platform
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks._bad_input import count_bad_input
from benchmarks._damage import count_damage
from benchmarks._kills import count_kills

PARTS = ("kills", "damage", "input")


def main(arguments=None):
    """Run the parts, print and save the tables; exit status 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="do this part; may be given several times")
    parser.add_argument("--kills", type=int, default=100, help="kills of a study with two workers")
    parser.add_argument("--places", type=int, default=200, help="places at which bytes flip, or files are cut")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument("--report", type=Path, help="Markdown file to write the tables to")
    options = parser.parse_args(arguments)
    tables, wrong, start = [], [], time.monotonic()
    for number, part in enumerate(PARTS):
        if options.only and part not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng([options.seed, number])
            table, found = _TABLES[part](Path(folder), options, rng)
        tables.append(table)
        wrong += found
    text = _page(tables, wrong, options.seed, time.monotonic() - start)
    print(text, end="")
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    return int(bool(wrong))


def _say(text):
    print(text, file=sys.stderr, flush=True)


def _kills(folder, options, rng):
    counts, wrong = count_kills(folder, options.kills, rng, _say)
    rows = [
        ("kills of the study itself", counts["study killed"]),
        ("kills of one of its two workers", counts["worker killed"]),
        ("runs of the studies that were brought to their end", counts["finished runs"]),
        ("runs seen in a store at any moment and lost later", counts["lost"]),
        ("runs seen in a store and changed later", counts["changed"]),
        ("studies that were brought to their end", counts["studies completed"]),
        ("of them with other results than without a kill", counts["other results"]),
    ]
    intro = (
        "A study of 60 runs with two workers is killed with SIGKILL at moments drawn evenly over the time that it "
        "takes undisturbed, from the start of its process on, and is started again on the same store."
    )
    return _table("Kills", intro, ("", "count"), rows), wrong


def _damage(folder, options, rng):
    counts, wrong = count_damage(folder, options.places, rng, _say)
    rows = [(kind, sum(c.values()), c["right"], c["error"], c["wrong"]) for kind, c in counts.items()]
    intro = (
        "At a random place of a random file either one bit is flipped (7 of 10) or the file is cut off there. The "
        "store of features computes anew what is damaged; the others must say so, or give what they gave before where "
        "nothing is read from the place."
    )
    header = ("file", "places", "right result", "clear error", "wrong")
    return _table("Damage", intro, header, rows), wrong


def _input(folder, options, rng):
    counts, wrong = count_bad_input(folder, _say)
    rows = [(group, c["kinds"], c["entries"], c["checks"], c["refused"], c["wrong"]) for group, c in counts.items()]
    rows.append(("all", *(sum(row[k] for row in rows) for k in range(1, 6))))
    intro = (
        "Every kind goes to every public entry that takes such a thing. Refused means: the type of error that the "
        "design names, with the row, line or column where there is one, and with what to do; for the command, exit "
        "status 1 and no traceback."
    )
    header = ("bad", "kinds", "entries", "checks", "refused as wanted", "wrong")
    return _table("Bad input", intro, header, rows), wrong


_TABLES = {"kills": _kills, "damage": _damage, "input": _input}


def _table(title, intro, header, rows):
    lines = [f"## {title}", "", intro, "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _page(tables, wrong, seed, seconds):
    packages = ", ".join(f"{name} {version(name)}" for name in ("skbert", "torch", "scikit-learn", "pandas", "pyarrow"))
    intro = (
        f"`python -m benchmarks.faults --seed {seed}`, {date.today()}: {seconds / 60:.0f} minutes on "
        f"{platform.machine()}, Python {platform.python_version()}, {packages}."
    )
    listed = ["## Wrong", "", *(f"- {line}" for line in wrong)] if wrong else ["Nothing was wrong."]
    return "\n\n".join(["# Damage and faults", intro, *tables, "\n".join(listed)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
