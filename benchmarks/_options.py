"""The command line that all benchmarks share."""

import argparse
import warnings
from pathlib import Path

import transformers


def parse(description, extend=None):
    """Read the options; `extend` adds those of one script to the parser."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, help="TSV file with a column `text`; default: texts of drawn lengths")
    parser.add_argument("--repeats", type=int, default=3, help="counted rounds, in which all candidates take turns")
    parser.add_argument("--count", type=int, default=100_000, help="how many texts the memory is measured on")
    parser.add_argument("--quick", action="store_true", help="few texts and one round: does it run? Quote no figure")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the table")
    if extend is not None:
        extend(parser)
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.count = 1, min(options.count, 1000)
    return options


def quiet():
    """Keep the warnings and bars of all candidates out of the table: too short a training always draws some."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
