"""Doing one run of a study, wherever it is computed, so that the numbers are the same everywhere."""

from __future__ import annotations

import getpass
import tempfile
import threading
import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path

import joblib
import numpy as np
from filelock import FileLock
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits


class Job:
    """One run with all that it needs.

    Slots, and none for weak references: joblib's Dask backend puts objects that can be
    referred to weakly on one worker, and they are gone when that worker is.

    Parameters
    ----------
    run : Run
    estimator : estimator
        Not fitted, with its seeds.
    train, test : pairs (X, y)
    scoring : list of str, or dict of str to callable
    """

    __slots__ = ("estimator", "run", "scoring", "test", "train")

    def __init__(self, run, estimator, train, test, scoring):
        self.run, self.estimator, self.train, self.test, self.scoring = run, estimator, train, test, scoring


def execute(job):
    """Fit and score; what goes wrong becomes a failed run with its reason.

    Returns
    -------
    run : Run
    outcome : dict
        ``status`` ("ok" or "failed"), ``reason``, ``seconds``, ``n_iter``, ``scores`` and ``finished`` (UTC).
    """
    start, scores, n_iter = time.perf_counter(), dict.fromkeys(job.scoring), None
    try:
        with ExitStack() as held:
            held.enter_context(_one_core)
            held.enter_context(_turn_on_gpu(job.estimator))
            held.enter_context(warnings.catch_warnings())
            # What it would say is in the status of the run.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = job.estimator.fit(*job.train)
            n_iter = _n_iter(fitted)
            scores, reason = _score(fitted, job)
        reason = _training_failure(fitted) or reason
    except Exception as error:
        reason = _last_words(error)
    return job.run, {
        "status": "failed" if reason else "ok",
        "reason": reason,
        "seconds": round(time.perf_counter() - start, 3),
        "n_iter": n_iter,
        "scores": scores,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def execute_all(jobs, n_jobs):
    """Execute jobs through joblib, and yield the result of each as soon as it is there, in any order.

    Parameters
    ----------
    jobs : iterable of Job
        Taken from as workers get free.
    n_jobs : int or None
    """
    # One job at a time to each worker: several at once would be given back, and stored, together.
    parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with warnings.catch_warnings():
        # joblib takes the encoder that a worker keeps for a leak, and starts another worker; nothing is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        yield from parallel(joblib.delayed(execute)(job) for job in jobs)


def _score(fitted, job):
    """Scores by name, None for one that could not be computed, and the reason for the first of these."""
    try:
        # All at once, predictions are made once for all scorers.
        found = check_scoring(fitted, scoring=job.scoring, raise_exc=True)(fitted, *job.test)
        reasons = {}
    except Exception:
        found, reasons = _score_one_by_one(fitted, job)
    scores = {name: float(value) for name, value in found.items() if np.isfinite(value)}
    reasons |= {name: f"{name} is {value}" for name, value in found.items() if name not in scores}
    return {name: scores.get(name) for name in job.scoring}, "; ".join(reasons.values())


def _score_one_by_one(fitted, job):
    scorers = job.scoring if isinstance(job.scoring, dict) else dict.fromkeys(job.scoring)
    found, reasons = {}, {}
    for name, scorer in scorers.items():
        try:
            found[name] = get_scorer(scorer or name)(fitted, *job.test)
        except Exception as error:
            reasons[name] = f"{name}: {_last_words(error)}"
    return found, reasons


def _last_words(error):
    text = "".join(traceback.format_exception_only(error)).strip()
    return text if len(text) <= 1000 else f"{text[:999]}…"


def _last_step(fitted):
    """The estimator inside pipelines and searches that did the learning."""
    while True:
        if isinstance(fitted, Pipeline):
            fitted = fitted.steps[-1][1]
        elif hasattr(fitted, "best_estimator_"):
            fitted = fitted.best_estimator_
        else:
            return fitted


def _training_failure(fitted):
    """The status of a training that failed ("constant", "diverged", "underfit"), or nothing."""
    status = getattr(_last_step(fitted), "training_status_", "converged")
    return "" if status == "converged" else str(status)


def _n_iter(fitted):
    found = getattr(_last_step(fitted), "n_iter_", None)
    return None if found is None else int(np.max(found))


class _OneCore:
    """Holds BLAS, OpenMP and torch to one core while any thread of this process is inside.

    Sums come out a little different on another number of cores; on one, the numbers of a run
    do not depend on how many run beside it, and cores are not fought over.
    """

    def __init__(self):
        self._lock, self._inside, self._limits = threading.Lock(), 0, None

    def __enter__(self):
        import torch

        with self._lock:
            if not self._inside:
                n_threads = torch.get_num_threads()
                self._limits = threadpool_limits(1), n_threads
            self._inside += 1
        # What torch is told holds for this thread.
        torch.set_num_threads(1)

    def __exit__(self, *exc_info):
        import torch

        with self._lock:
            self._inside -= 1
            limits, n_threads = self._limits
            if not self._inside:
                limits.restore_original_limits()
            torch.set_num_threads(n_threads)
        return False


_one_core = _OneCore()


def _turn_on_gpu(estimator):
    """A context in which no other run of this machine is on the same GPU; nothing is waited for on a CPU."""
    device = _gpu_of(estimator)
    return nullcontext() if device is None else _gpu_lock(device)


def _gpu_of(estimator):
    """The GPU that an estimator of ours would compute on, or None."""
    import torch

    from skbert.training import resolve_device

    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return None
    parameters = estimator.get_params(deep=True)
    # Those of other libraries may have a `device` of their own kind; they look after themselves.
    for owner in [estimator, *parameters.values()]:
        if type(owner).__module__.partition(".")[0] == "skbert" and hasattr(owner, "device"):
            device = resolve_device(owner.device)
            if device.type != "cpu":
                return device
    return None


@contextmanager
def _gpu_lock(device):
    """Hold the lock file of a GPU; give back the memory that torch keeps for later."""
    import torch

    # Two runs at once would need twice the memory and be no faster: one run fills the GPU.
    with FileLock(Path(tempfile.gettempdir()) / f"skbert-{getpass.getuser()}-{_gpu_name(device)}.lock"):
        try:
            yield
        finally:
            {"cuda": torch.cuda, "mps": torch.mps}[device.type].empty_cache()


def _gpu_name(device):
    import torch

    if device.type == "cuda":
        # The same card has other numbers in processes that see other cards.
        return f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return device.type
