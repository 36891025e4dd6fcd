"""How much memory is needed to transform many texts, in addition to the array of features itself?

python -m benchmarks.memory [--count 100000]

Measured in a separate process: the peak of resident memory, minus the resident memory before the transform (imports,
weights, texts), minus the bytes of the features.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._main import main
from benchmarks._table import Line
from benchmarks._texts import texts_for

_TARGET = 1.5


def lines(options):
    against = "peak memory above the output array"
    if not Path("/proc/self/status").exists():
        name = f"{options.count:,} distinct texts transformed"
        yield Line(name, against, "GiB", _TARGET, None, "needs Linux, where /proc reports the peak of one process")
        return
    command = [sys.executable, "-m", "benchmarks.memory", "--measure", "--count", str(options.count)]
    if options.data is not None:
        command += ["--data", str(options.data)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    before, peak, output = (found[name] / 2**20 for name in ("before", "peak", "output"))
    name = f"{found['n_texts']:,} distinct texts transformed"
    detail = (
        f"{found['seconds']:.0f} s; {before:.0f} MiB before, {peak:.0f} MiB at the peak, {output:.0f} MiB of features"
    )
    yield Line(name, against, "GiB", _TARGET, (peak - before - output) / 1024, detail)


def _measure(options):
    """The work of the separate process: transform, and print the bytes as JSON."""
    from skbert import LayerPoolFeaturizer

    texts = texts_for(options, options.count)
    featurizer = LayerPoolFeaturizer("minilm", max_length=128, device="cpu", precision="fp32").fit(texts[:1])
    # Memory that the first call allocates permanently belongs to the transform, so there is no call before it.
    before, start = resident("VmRSS"), time.perf_counter()
    features = featurizer.transform(texts)
    seconds = time.perf_counter() - start
    found = {"before": before, "peak": resident("VmHWM"), "output": features.nbytes}
    print(json.dumps({**found, "n_texts": len(texts), "seconds": seconds}))


def resident(field):
    """Bytes of this process from the kernel; getrusage would include the peak of a parent process."""
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith(f"{field}:"):
            return int(row.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    if "--measure" in sys.argv:
        from benchmarks._options import parse

        _measure(parse(__doc__, lambda parser: parser.add_argument("--measure", action="store_true")))
    else:
        main(__doc__, lines)
