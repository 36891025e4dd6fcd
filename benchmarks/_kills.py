"""A study with two workers that is killed at random moments: is what was finished there, is the result the same?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from benchmarks._study_to_kill import KEY, studied_texts, study
from skbert.errors import RunStoreError
from skbert.stability import read_runs

_ROOT = Path(__file__).parents[1]


def count_kills(folder, n_kills, rng, say):
    """Kill a study, or one of its workers, `n_kills` times with SIGKILL, each time going on with its store.

    Returns
    -------
    counts : Counter
        "study killed", "worker killed", "over before" (no kill: the moment lay behind the end), "finished runs",
        "lost", "changed", "studies completed", "other results".
    wrong : list of str
    """
    counts, wrong = Counter(), []
    expected = _plain(study(None, n_jobs=1).fit(*studied_texts()).results_)
    with _Studies() as studies:
        process, start = studies.begin(*_new(folder, "undisturbed")), time.monotonic()
        studies.wait(process)
        length = time.monotonic() - start
        say(f"an undisturbed study takes {length:.1f} s")
        store, notes = _new(folder, 0)
        while _n_kills(counts) < n_kills or _stored(store):
            before, n_before = _stored(store), _n_kills(counts)
            # In the end, what is left over is done without a kill.
            moment = length * rng.random() if n_before < n_kills else None
            counts[studies.kill_at(moment, store, notes, a_worker=rng.random() < 0.3)] += 1
            _check(store, notes, before, counts, wrong)
            if len(_stored(store)) == len(expected):
                _check_results(store, expected, counts, wrong)
                store, notes = _new(folder, counts["studies completed"])
            if _n_kills(counts) % 10 == 0 and _n_kills(counts) > n_before:
                say(f"{_n_kills(counts)} of {n_kills} kills")
    counts["finished runs"] = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.notes"))
    return counts, wrong


def _n_kills(counts):
    return counts["study killed"] + counts["worker killed"]


def _new(folder, name):
    return folder / f"runs-{name}.sqlite", folder / f"runs-{name}.notes"


class _Studies:
    """The process that starts studies, each in a process of its own."""

    def __enter__(self):
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks._study_to_kill"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._server = subprocess.Popen(command, env=environment, **pipes)
        return self

    def __exit__(self, *exc_info):
        self._server.stdin.close()
        self._server.wait()

    def begin(self, store, notes):
        """Start a study; gives the number of its process."""
        self._server.stdin.write(f"{store}\t{notes}\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self, process, seconds=None):
        """Wait until a study is over, or this long; gives whether it is over."""
        end = None if seconds is None else time.monotonic() + seconds
        while Path(f"/proc/{process}").exists():
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def kill_at(self, moment, store, notes, a_worker):
        """Start a study and kill it, or a worker of it, at that moment; None lets it come to its end."""
        process = self.begin(store, notes)
        if self.wait(process, moment):
            return "over before"
        workers = _workers_of(process) if a_worker else []
        os.kill(workers[-1] if workers else process, signal.SIGKILL)
        # A study whose worker died does its job again, and ends by itself.
        self.wait(process)
        return "worker killed" if workers else "study killed"


def _workers_of(process):
    """Processes that joblib started for a study; the one that tracks its temporary files is none."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for path in lists for child in path.read_text().split()]
    return [child for child in children if b"tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def _check_results(store, expected, counts, wrong):
    """Whether a study that is complete has the results of one that nobody disturbed."""
    counts["studies completed"] += 1
    if not _plain(study(store, n_jobs=1).fit(*studied_texts()).results_).equals(expected):
        counts["other results"] += 1
        wrong.append(f"{store.name}: other results than without a kill")


def _stored(store):
    """Rows of a store by their key."""
    try:
        rows = read_runs(store).to_dict("records")
    except RunStoreError:
        # Killed before its first run: whatever was stored and is gone now, is found by its key.
        return {}
    return {tuple(str(row[name]) for name in KEY): row for row in rows}


def _check(store, notes, before, counts, wrong):
    after = _stored(store)
    noted = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    # A line that the kill cut short is of a run that was stored before.
    noted = [json.loads(line) for line in noted if line.endswith("]")]
    keys = {*before, *(tuple("<NA>" if value is None else str(value) for value in key) for key in noted)}
    for key in sorted(keys - set(after)):
        counts["lost"] += 1
        wrong.append(f"{store.name}: lost {key}")
    for key in set(before) & set(after):
        if not pd.Series(before[key]).equals(pd.Series(after[key])):
            counts["changed"] += 1
            wrong.append(f"{store.name}: changed {key}")


def _plain(results):
    return results.drop(columns=["seconds"])
