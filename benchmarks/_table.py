"""Lines of the table of benchmarks, and how they are printed and saved."""

import csv
import os
import platform
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("skbert", "torch", "transformers", "scikit-learn", "skorch", "sentence-transformers", "accelerate")
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes
    ----------
    benchmark : str
        What was measured.
    against : str
        The reference, or what is counted.
    unit : {"x", "GiB", "MiB", "%"}
        "x": how many times faster than the reference, where larger is better. For a size, smaller is better.
    target : float or None
        The value that should be reached.
    value : float or None
        None if it could not be measured; `detail` then gives the reason.
    detail : str
        Seconds, ratios and notes.
    """

    benchmark: str
    against: str
    unit: str
    target: float | None
    value: float | None
    detail: str

    @property
    def target_text(self):
        if self.target is None:
            return ""
        return f"{'at least' if self.unit == 'x' else 'under'} {self.target:g} {self.unit}"

    @property
    def value_text(self):
        return "not measured" if self.value is None else f"{self.value:.2f} {self.unit}"

    @property
    def reached(self):
        """ "yes", "no", or empty if there is no target or no figure."""
        if self.target is None or self.value is None:
            return ""
        better = self.value >= self.target if self.unit == "x" else self.value < self.target
        return "yes" if better else "no"

    def cells(self):
        """The value as the table shows it."""
        return [self.benchmark, self.against, self.target_text, self.value_text, self.reached, self.detail]


_HEADER = ["benchmark", "against", "target", "measured", "reached", "detail"]


def missing(benchmark, against, package, target=None):
    """The line of a reference that is not installed."""
    return Line(benchmark, against, "x", target, None, f"{package} is not installed")


def show(line):
    """Print a line as soon as it is measured."""
    target = f" ({line.target_text}: {line.reached or 'open'})" if line.target else ""
    print(f"{line.benchmark}, against {line.against}: {line.value_text}{target}\n    {line.detail}", flush=True)


def save(lines, folder, quick):
    """Save the table as CSV and as markdown, and return the markdown."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["benchmark", "against", "unit", "target", "value", "reached", "detail"])
        for line in lines:
            row = [line.benchmark, line.against, line.unit, line.target, line.value, line.reached, line.detail]
            writer.writerow(row)
    rows = [_HEADER, ["---"] * len(_HEADER), *(line.cells() for line in lines)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    warning = "A quick run: do not quote its figures.\n\n" if quick else ""
    text = f"{date.today()}, {machine()}; {versions()}.\n\n{warning}{table}\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    return text


def machine():
    """Kind of the machine in words: processor, cores, the instructions that matter, and the GPU if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name, has = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(_field(row) for row in cpuinfo.read_text().splitlines() if ":" in row)
        name = fields.get("model name", name)
        flags = fields.get("flags", "").split()
        there = [flag for flag in _INSTRUCTIONS if flag in flags] or ["none"]
        absent = [flag for flag in _INSTRUCTIONS if flag not in flags] or ["none"]
        has = f" (has {', '.join(there)}; lacks {', '.join(absent)})"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {name}{has}, {cores} cores, {torch.get_num_threads()} torch threads, {gpu}"


def _field(row):
    name, _, value = row.partition(":")
    return name.strip(), value.strip()


def versions():
    """Versions of Python and of the packages that matter; "none" if a package is not installed."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} none")
    return ", ".join(found)
