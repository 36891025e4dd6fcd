"""Runs benchmarks one after another; the table is saved after each, so that a failure does not lose earlier results."""

from benchmarks._options import parse, quiet
from benchmarks._table import save, show


def run(benchmarks, options):
    """Run functions that take the options and yield lines; print, collect and save these lines."""
    quiet()
    lines = []
    for benchmark in benchmarks:
        for line in benchmark(options):
            show(line)
            lines.append(line)
            table = save(lines, options.output, options.quick)
    print(f"\n{table}\nsaved in {options.output}/")


def main(description, benchmark):
    """The command line of one benchmark."""
    run([benchmark], parse(description))
