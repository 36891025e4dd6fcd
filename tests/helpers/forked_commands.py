"""Commands of skbert, each in a process of its own that can be killed; slow imports are done once, before a fork."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.helpers.waiting import wait_until

_ROOT = Path(__file__).parents[2]


@dataclass
class Command:
    """A command that was started.

    Attributes
    ----------
    process : int
        Number of its process.
    folder : Path
        Where its standard output, its errors and what `ended` reads are.
    """

    process: int
    folder: Path

    @property
    def over(self):
        """Whether the process has ended, by itself or not."""
        return not Path(f"/proc/{self.process}").exists()

    def kill(self):
        """End it with SIGKILL."""
        os.kill(self.process, signal.SIGKILL)
        wait_until(lambda: self.over)

    def ended(self):
        """Wait for its end; gives its exit status (None if it was killed), its output and its errors."""
        wait_until(lambda: self.over)
        status = self.folder / "status"
        code = int(status.read_text()) if status.exists() else None
        return code, *((self.folder / name).read_text(encoding="utf-8") for name in ("out", "err"))

    @property
    def peak(self):
        """Bytes of memory at the peak of the process, once it has ended by itself."""
        return int((self.folder / "peak").read_text())


class Commands:
    """Starts commands, with windows of few rows; use it in a ``with`` statement.

    Parameters
    ----------
    folder : Path
        Where the commands run, and write what they say.
    most_rows : int
        Rows of a window.
    """

    def __init__(self, folder, most_rows):
        self.folder, self.most_rows, self._n = folder, most_rows, 0

    def __enter__(self):
        command = [sys.executable, "-m", "tests.helpers.forked_commands", str(self.most_rows)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen(command, env=environment, **pipes)
        return self

    def __exit__(self, *exc_info):
        self._server.stdin.close()
        self._server.wait()

    def start(self, *words, most_bytes=None):
        """Start a command; `most_bytes` is the largest file that it may write, as on a full disk."""
        self._n += 1
        folder = self.folder / f"command-{self._n}"
        folder.mkdir()
        asked = {"words": list(map(str, words)), "folder": str(folder), "most_bytes": most_bytes}
        self._server.stdin.write(f"{json.dumps(asked)}\n")
        self._server.stdin.flush()
        return Command(int(self._server.stdout.readline()), folder)


def _serve(most_rows):
    # Before anything is computed, because OpenMP does not survive a fork.
    for name in ("pandas", "pyarrow.parquet", "transformers.models.bert.modeling_bert", "skbert.estimators"):
        import_module(name)
    from skbert.cli import _commands, _long_inputs, _source

    _long_inputs.MOST_ROWS = most_rows
    _source.Source.windows.__defaults__ = (most_rows, ())
    # Children that ended are not kept.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if not process:
            _run(_commands.main, Path(asked["folder"]), asked["words"], asked["most_bytes"])
        print(process, flush=True)


def _run(main, folder, words, most_bytes):
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8")
    if most_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    sys.argv = ["skbert", *words]
    status = 2
    try:
        main()
    except SystemExit as stop:
        status = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        rows = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM"))
        (folder / "peak").write_text(str(peak))
        (folder / "status").write_text(str(status))
        os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
