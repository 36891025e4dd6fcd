"""All benchmarks in one run and one table.

python -m benchmarks [--only features] [--quick]
"""

from benchmarks import features, fine_tuning, frozen_prefix
from benchmarks._main import run
from benchmarks._options import parse

_ALL = {
    "features": features.lines,
    "fine_tuning": fine_tuning.lines,
    "frozen_prefix": frozen_prefix.lines,
}


def _only(parser):
    parser.add_argument("--only", choices=_ALL, action="append", help="run this one; may be given several times")


options = parse(__doc__, _only)
run([_ALL[name] for name in options.only or _ALL], options)
