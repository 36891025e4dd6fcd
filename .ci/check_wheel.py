"""Run in an environment that holds nothing but the installed wheel: it is complete and imports fast."""

import subprocess
import sys
import time
from pathlib import Path

import skbert

assert "site-packages" in skbert.__file__, skbert.__file__
assert Path(skbert.__file__).with_name("py.typed").is_file(), "type checkers would not read the annotations"

from skbert.datasets import load_helpdesk  # noqa: E402

for language, n in (("en", 480), ("ja", 240)):
    assert len(load_helpdesk(language).data) >= n

seconds = []
for _ in range(5):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import skbert"], check=True)
    with_skbert = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    seconds.append(with_skbert - (time.perf_counter() - start))
print(f"wheel of skbert {skbert.__version__} works; import skbert takes {sorted(seconds)[2]:.3f} s")
