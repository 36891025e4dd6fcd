"""Where tensors lie: in a file that is mapped into memory, or in memory of the process. Linux only."""

from __future__ import annotations

from pathlib import Path


def lie_in_a_file_below(folder, tensors):
    """For each of the tensors, whether its values lie in a mapped file below `folder`, whose parts may be patterns."""
    spans = [_span(line) for line in Path("/proc/self/maps").read_text().splitlines() if _is_below(folder, line)]
    return [any(start <= tensor.data_ptr() < end for start, end in spans) for tensor in tensors]


def own_kilobytes(folder):
    """How much of the mapped files below `folder` this process has changed and so holds for itself; None if none is."""
    found, is_below = None, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            is_below = _is_below(folder, line)
        elif is_below and line.startswith("Anonymous:"):
            found = (found or 0) + int(line.split()[1])
    return found


def _span(line):
    return tuple(int(place, 16) for place in line.split()[0].split("-"))


def _is_below(folder, line):
    fields = line.split(maxsplit=5)
    # The path of a file that was removed has one more word.
    return len(fields) > 5 and any(parent.match(str(folder)) for parent in Path(fields[5]).parents)
