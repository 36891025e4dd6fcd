"""All benchmarks in one run and one table.

python -m benchmarks [--only features] [--quick]
"""

from benchmarks import (
    features,
    fine_tuning,
    frozen_prefix,
    gpu,
    grid_search,
    landscape,
    long_inputs,
    memory,
    pretraining,
    senses,
    skip_layers,
    study,
)
from benchmarks._main import run
from benchmarks._options import parse

_SCRIPTS = [
    features,
    fine_tuning,
    study,
    frozen_prefix,
    grid_search,
    pretraining,
    skip_layers,
    landscape,
    memory,
    long_inputs,
    senses,
    gpu,
]
_LINES = {script.__name__.rpartition(".")[2]: script.lines for script in _SCRIPTS}


def _only(parser):
    parser.add_argument("--only", choices=_LINES, action="append", help="run only this one; can be given several times")
    senses.add_options(parser)
    long_inputs.add_options(parser)


if __name__ == "__main__":
    options = parse(__doc__, _only)
    run([_LINES[name] for name in options.only or _LINES], options)
