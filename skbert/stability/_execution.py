"""One run of a study, with the same numbers wherever it is computed."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import tempfile
import threading
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path

import joblib
import numpy as np
from filelock import FileLock
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer
from sklearn.pipeline import Pipeline
from threadpoolctl import ThreadpoolController

from skbert.compute import give_back_freed_memory
from skbert.encoder import use_shared_copies
from skbert.stability._design import parts_of


class Job:
    """One run with everything that it needs.

    It has slots, and no slot for weak references: the Dask backend of joblib stores objects
    with weak references on one worker, and loses them if this worker dies.

    Parameters
    ----------
    run : Run
    estimator : estimator
        Not fitted, with its seeds.
    train, test : pairs (X, y)
    scoring : list of str, or dict of str to callable
    train_scoring : dict of str to callable or str
    is_null : bool
        Whether the estimator is a null model.
    copies : tuple of SharedCopy, default=()
        Encoders that a worker process can use without loading them itself.

    Attributes
    ----------
    owner : int
        The process that made the job.
    host : str
        The machine of this process, with the container in which its number means it.
    """

    __slots__ = ("copies", "estimator", "host", "is_null", "owner", "run", "scoring", "test", "train", "train_scoring")

    def __init__(self, run, estimator, train, test, scoring, train_scoring, is_null, copies=()):
        self.run, self.estimator, self.train, self.test, self.scoring = run, estimator, train, test, scoring
        self.train_scoring, self.is_null, self.copies = train_scoring, is_null, copies
        self.owner, self.host = os.getpid(), _host()


def execute(job):
    """Fit and score; an error becomes a failed run with its reason.

    Returns
    -------
    run : Run
    outcome : dict
        ``status`` ("ok" or "failed"), ``reason``, ``seconds``, ``n_iter``, ``scores`` (training scores too) and
        ``finished`` (UTC).
    """
    found = _execute(job)
    if (os.getpid(), _host()) != (job.owner, job.host):
        # In a worker, this job is a copy, and its estimator is the fitted model. If the worker kept its memory, joblib
        # would take it for a leak and start another worker.
        job.estimator = job.train = job.test = None
        give_back_freed_memory()
    return found


def _execute(job):
    start, scores, n_iter = time.perf_counter(), None, None
    if _is_orphaned(job):
        _remove_copies(copy.folder for copy in job.copies)
        return job.run, _outcome(job, start, "the process of the study has ended")
    _end_with(job)
    use_shared_copies(job.copies)
    try:
        with ExitStack() as held:
            held.enter_context(_one_core)
            held.enter_context(_turn_on_gpu(job.estimator))
            held.enter_context(warnings.catch_warnings())
            # The status of the run has the same information as the warning.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = job.estimator.fit(*job.train)
            n_iter = _n_iter(fitted)
            scores, reason = _all_scores(fitted, job)
        reason = _training_failure(fitted) or reason
    except (Exception, SystemExit) as error:
        reason = _last_words(error)
    return job.run, _outcome(job, start, reason, scores, n_iter)


_watched: dict[int, set[str]] = {}


def _end_with(job):
    """End this process when its parent, which runs the study, has ended, and remove what the parent left behind.

    A killed parent sends no message. A worker of joblib would then wait for minutes for another job, and keep its
    memory, a GPU and its inherited pipes.
    """
    owner = job.owner
    if os.getppid() != owner:  # in the process of the study itself, or on a cluster
        return
    is_new = owner not in _watched
    _watched.setdefault(owner, set()).update(copy.folder for copy in job.copies)

    def watch():
        while os.getppid() == owner:
            time.sleep(1)
        _remove_copies(tuple(_watched[owner]))
        os._exit(1)

    if is_new:
        threading.Thread(target=watch, name="skbert-watch", daemon=True).start()


def _host():
    with suppress(OSError):
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def _is_orphaned(job):
    """Whether the process of the study ended before this worker had begun its first job, and so could watch it."""
    # Signal 0 only asks; on Windows it would be a signal.
    if os.name != "posix" or job.host != _host() or os.getpid() == job.owner:
        return False
    try:
        os.kill(job.owner, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there, and of another user
    return False


def _remove_copies(folders):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            Path(folder).parent.rmdir()


def _outcome(job, start, reason, scores=None, n_iter=None):
    return {
        "status": "failed" if reason else "ok",
        "reason": reason,
        "seconds": round(time.perf_counter() - start, 3),
        "n_iter": n_iter,
        "scores": dict.fromkeys([*job.scoring, *job.train_scoring]) if scores is None else scores,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def execute_all(jobs, n_jobs):
    """Execute jobs with joblib, and yield the result of each as soon as it is finished, in any order.

    If a worker process dies, the unfinished jobs are done again one by one, and the job that kills its worker becomes
    a failed run.

    Parameters
    ----------
    jobs : iterable of Job
        The next job is taken when a worker is free.
    n_jobs : int or None
        Number of jobs at once.
    """
    jobs, under_way = iter(jobs), {}

    def taken():
        for job in jobs:
            under_way[job.run] = job
            yield joblib.delayed(execute)(job)

    with warnings.catch_warnings():
        # joblib treats the encoder that a worker keeps as a memory leak, and starts another worker; nothing is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        while True:
            # One job at a time for each worker, because the results of several jobs would be returned together.
            parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
            try:
                for run, outcome in parallel(taken()):
                    del under_way[run]
                    yield run, outcome
                return
            except BrokenProcessPool:
                for run, job in list(under_way.items()):
                    yield run, _execute_apart(job)
                under_way.clear()


def _execute_apart(job):
    """The outcome of a job in its own process, which it may kill."""
    start = time.perf_counter()
    try:
        # With n_jobs=1, joblib would run the job in this process.
        ((_, outcome),) = joblib.Parallel(2, backend="loky")([joblib.delayed(execute)(job)])
    except BrokenProcessPool:
        return _outcome(job, start, "the worker process died: out of memory, or a crash in compiled code")
    return outcome


def _all_scores(fitted, job):
    """Scores by name (None if a score could not be computed), and the reasons for missing scores."""
    scores, reasons = _score(fitted, job.scoring, job.test)
    # Last, so that a scorer that changes the estimator cannot change a score on the test texts.
    on_train, more = _score(fitted, job.train_scoring, job.train)
    # What is asked about a training, such as how sharp its optimum is, need not make sense for a null model.
    return scores | on_train, "; ".join(reasons if job.is_null else reasons + more)


def _score(fitted, scoring, data):
    """Scores by name on `data`, a pair (X, y), and a reason for each missing score."""
    if not scoring:
        return {}, []
    try:
        # All scorers together, so that predictions are computed only once.
        found = check_scoring(fitted, scoring=scoring, raise_exc=True)(fitted, *data)
        reasons = {}
    except Exception:
        found, reasons = _score_one_by_one(fitted, scoring, data)
    scores = {name: float(value) for name, value in found.items() if np.isfinite(value)}
    reasons |= {name: f"{name} is {value}" for name, value in found.items() if name not in scores}
    return {name: scores.get(name) for name in scoring}, list(reasons.values())


def _score_one_by_one(fitted, scoring, data):
    scorers = scoring if isinstance(scoring, dict) else dict.fromkeys(scoring)
    found, reasons = {}, {}
    for name, scorer in scorers.items():
        try:
            found[name] = get_scorer(scorer or name)(fitted, *data)
        except Exception as error:
            reasons[name] = f"{name}: {_last_words(error)}"
    return found, reasons


def _last_words(error):
    text = "".join(traceback.format_exception_only(error)).strip()
    # Half of a surrogate pair, as in the name of a file that is not UTF-8, could not be stored.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 1000 else f"{text[:999]}…"


def _last_step(fitted):
    """The estimator inside pipelines and searches that was trained."""
    while True:
        if isinstance(fitted, Pipeline):
            fitted = fitted.steps[-1][1]
        elif hasattr(fitted, "best_estimator_"):
            fitted = fitted.best_estimator_
        else:
            return fitted


def _training_failure(fitted):
    """The status of a failed training ("constant", "diverged", "underfit"), or an empty string."""
    status = getattr(_last_step(fitted), "training_status_", "converged")
    return "" if status == "converged" else str(status)


def _n_iter(fitted):
    found = getattr(_last_step(fitted), "n_iter_", None)
    try:
        return None if found is None else int(np.max(found))
    except (TypeError, ValueError):  # not a number of epochs
        return None


class _OneCore:
    """Limits BLAS, OpenMP and torch to one core while a thread is inside.

    Sums differ slightly with another number of cores. With one core, the numbers of a run do
    not depend on how many runs there are at once, and runs do not compete for cores.
    """

    def __init__(self):
        self._lock, self._inside, self._blas = threading.Lock(), 0, None
        self._own = threading.local()
        # The threads of BLAS belong to the process, and threadpoolctl lets one thread at a time decide over them: here
        # one that lives on when the run that came first is over.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="skbert-blas")

    def __enter__(self):
        import torch

        with self._lock:
            if not self._inside:
                self._blas = self._keeper.submit(_one_thread, "blas").result()
            self._inside += 1
        # Those of OpenMP, and what torch is told, belong to each thread.
        self._own.openmp, self._own.torch = _one_thread("openmp"), torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *exc_info):
        import torch

        torch.set_num_threads(self._own.torch)
        self._own.openmp.__exit__(None, None, None)
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._keeper.submit(self._blas.__exit__, None, None, None).result()
        return False


def _one_thread(kind):
    # Selected first, because otherwise the restored value would be the number of threads of all kinds.
    return ThreadpoolController().select(user_api=kind).limit(limits=1)


_one_core = _OneCore()


def _turn_on_gpu(estimator):
    """A context in which no other run of this machine uses the same GPU; on a CPU, there is no waiting."""
    device = _gpu_of(estimator)
    return nullcontext() if device is None else _gpu_lock(device)


def _gpu_of(estimator):
    """The GPU on which an estimator of skbert would compute, or None."""
    import torch

    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return None
    # Estimators of other libraries are not handled here.
    devices = (part.compute_device() for part in parts_of(estimator) if hasattr(part, "compute_device"))
    return next((device for device in devices if device.type != "cpu"), None)


@contextmanager
def _gpu_lock(device):
    """Hold the lock file of a GPU; afterwards, free the memory that torch keeps for later."""
    import torch

    # Two runs at once would need twice the memory and would not be faster, because one run uses the whole GPU.
    with FileLock(Path(tempfile.gettempdir()) / f"skbert-{getpass.getuser()}-{_gpu_name(device)}.lock"):
        try:
            yield
        finally:
            {"cuda": torch.cuda, "mps": torch.mps}[device.type].empty_cache()


def _gpu_name(device):
    import torch

    if device.type == "cuda":
        # The number of a card differs between processes that see different cards.
        return f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return device.type
