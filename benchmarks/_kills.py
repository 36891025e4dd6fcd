"""A study with two workers that is killed at random moments: is what was finished there, is the result the same?"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from benchmarks._study_to_kill import studied_texts, study
from skbert.errors import RunStoreError
from skbert.stability import read_runs

_ROOT = Path(__file__).parents[1]
_KEY = ["variant", "size", "draw", "random_state"]


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
        process, start = studies.begin(folder / "undisturbed.sqlite"), time.monotonic()
        studies.wait(process)
        length = time.monotonic() - start
        say(f"an undisturbed study takes {length:.1f} s")
        store = folder / "0.sqlite"
        while _n_kills(counts) < n_kills or _stored(store):
            seen, n_before = _stored(store), _n_kills(counts)
            # In the end, what is left over is done without a kill.
            moment = length * rng.random() if n_before < n_kills else None
            counts[studies.kill_at(moment, store, seen, a_worker=rng.random() < 0.3)] += 1
            _check(store, seen, counts, wrong)
            if len(_stored(store)) == len(expected):
                _check_results(store, expected, counts, wrong)
                store = folder / f"{counts['studies completed']}.sqlite"
            if _n_kills(counts) % 10 == 0 and _n_kills(counts) > n_before:
                say(f"{_n_kills(counts)} of {n_kills} kills")
    counts["finished runs"] = len(expected) * counts["studies completed"]
    return counts, wrong


def _n_kills(counts):
    return counts["study killed"] + counts["worker killed"]


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

    def begin(self, store):
        """Start a study; gives the number of its process."""
        self._server.stdin.write(f"{store}\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self, process, seconds=None, look=lambda: None):
        """Wait until a study is over, or this long, and look meanwhile; gives whether it is over."""
        end = None if seconds is None else time.monotonic() + seconds
        while Path(f"/proc/{process}").exists():
            if end is not None and time.monotonic() >= end:
                return False
            look()
            time.sleep(0.02)
        return True

    def kill_at(self, moment, store, seen, a_worker):
        """Start a study and kill it, or a worker of it, at that moment; None lets it come to its end.

        What is in the store meanwhile is added to `seen`.
        """
        process = self.begin(store)
        if self.wait(process, moment, lambda: seen.update(_stored(store))):
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
    return {tuple(str(row[name]) for name in _KEY): row for row in rows}


def _check(store, seen, counts, wrong):
    """Whether all that was ever seen in a store is in it, as it was."""
    after = _stored(store)
    for key in set(seen) - set(after):
        counts["lost"] += 1
        wrong.append(f"{store.name}: lost {key}")
    for key in set(seen) & set(after):
        if not pd.Series(seen[key]).equals(pd.Series(after[key])):
            counts["changed"] += 1
            wrong.append(f"{store.name}: changed {key}")


def _plain(results):
    return results.drop(columns=["seconds"])
