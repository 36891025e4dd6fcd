"""SetFit as a rival, in an environment of its own, because its dependencies are not ours."""

import json
import os
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

WORKER = Path(__file__).with_name("_setfit_worker.py")
# With -I neither our packages nor our folder are seen by the other interpreter.
ISOLATED = "-I"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def missing(python):
    """The reason why SetFit cannot run with the interpreter `python`, or None."""
    if python is None:
        return "it needs --setfit-python, the interpreter of an environment in which setfit is installed"
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('setfit') is None)"
    try:
        found = subprocess.run([python, ISOLATED, "-c", look], check=False).returncode == 0
    except OSError as error:
        return f"{python} cannot be started ({error.strerror})"
    return None if found else f"setfit is not installed in the environment of {python}"


class SetFit:
    """The process that trains SetFit; it starts with the first run, and ends with the `with` block.

    It serves all runs, because its imports take longer than a small fit. Each run has its own model and its own seed.
    """

    def __init__(self, python, threads, device="cpu"):
        self.python = python
        self.threads = threads
        self.device = device
        self._process = None
        self._messages = None
        self._open = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._process is not None:
            # Without further input the process ends by itself; after an error nobody waits for its present run.
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            if exception[0] is not None:
                self._process.kill()
        self._open.close()

    def predict(self, folder, texts, labels, test_texts, seed, iterations=None):
        """Labels of the test texts, and the CPU seconds of the fit; `iterations=None` for the default of SetFit."""
        classes, codes = np.unique(labels, return_inverse=True)
        request = {
            "model": folder,
            "texts": texts,
            "labels": codes.tolist(),
            "test_texts": test_texts,
            "seed": seed,
            "iterations": iterations,
            "threads": self.threads,
            "device": self.device,
        }
        answer = self._ask(request)
        return classes[answer["predicted"]], answer["cpu_seconds"]

    def _start(self):
        # A file, because nobody reads a pipe in time: SetFit writes a lot.
        messages = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._messages = self._open.enter_context(messages)
        process = subprocess.Popen(
            [self.python, ISOLATED, WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(_THREADS, str(self.threads))},
        )
        self._process = self._open.enter_context(process)

    def _ask(self, request):
        if self._process is None:
            self._start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._messages.seek(0)
            raise RuntimeError("the process of SetFit has ended:\n" + self._messages.read()[-3000:])
        return json.loads(line)
