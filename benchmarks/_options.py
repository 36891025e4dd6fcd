"""The command-line options that all benchmarks share."""

import argparse
import warnings
from pathlib import Path

import transformers


def parse(description, extend=None):
    """Read the options; `extend` adds the options of one script to the parser."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, help="TSV file with a column `text`; default: texts of random lengths")
    parser.add_argument("--repeats", type=int, default=3, help="counted rounds; each candidate runs once per round")
    parser.add_argument("--count", type=int, default=100_000, help="number of texts for the memory benchmark")
    parser.add_argument("--quick", action="store_true", help="few texts, one round: do not quote its figures")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the table")
    if extend is not None:
        extend(parser)
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.count = 1, min(options.count, 1000)
    return options


def quiet():
    """Keep warnings and progress bars of all candidates out of the table; very short training always causes some."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
