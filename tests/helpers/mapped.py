"""Where tensors lie: in a file that is mapped into memory, or in memory of the process. Linux only."""

from __future__ import annotations

from pathlib import Path


def mappings(folder):
    """Every mapping of a file below `folder` (its parts may be patterns): start, end, and what smaps says of it in kB."""
    found, current = [], None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0]:
            # The path of a file that was removed has one more word.
            path = Path(fields[5]) if len(fields) > 5 else None
            current = None
            if path is not None and any(parent.match(str(folder)) for parent in path.parents):
                start, end = (int(place, 16) for place in fields[0].split("-"))
                current = {}
                found.append((start, end, current))
        elif current is not None and fields[-1] == "kB":
            current[fields[0].rstrip(":")] = int(fields[1])
    return found


def lies_in_a_file_below(folder, tensor):
    """Whether the values of a tensor lie in a mapped file below a folder."""
    return any(start <= tensor.data_ptr() < end for start, end, _ in mappings(folder))
