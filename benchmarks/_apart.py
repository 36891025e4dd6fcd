"""Timing of candidates in turns, each in a process of its own, as its users have it.

In one process, libraries change what the others find: what the allocator has learned, threads, caches, loaded modules.
"""

import multiprocessing
from contextlib import suppress
from functools import partial

from benchmarks._options import quiet
from benchmarks._timing import alternate

# Seconds for a process to end by itself.
_PATIENCE = 5


class Apart:
    """A context in which each candidate has a process; it may start threads and programs, but no `multiprocessing`.

    Parameters
    ----------
    makers : dict of str to callable
        By the name of a candidate, what makes it, in its process: a picklable callable that returns the function to be
        timed.
    """

    def __init__(self, makers):
        self._makers = makers

    def __enter__(self):
        self._context = multiprocessing.get_context("spawn")
        self._processes, self._ends = {}, {}
        try:
            # One after the other, so that what one candidate prepares does not slow down another.
            for name, make in self._makers.items():
                self._start(name, make)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for end in self._ends.values():
            end.close()
        for process in self._processes.values():
            process.join(_PATIENCE)
            process.terminate()
            process.join()

    def alternate(self, repeats):
        """As `benchmarks._timing.alternate`; to ask another process takes a tenth of a millisecond."""
        return alternate({name: partial(self._ask, name, "run") for name in self._makers}, repeats)

    def result(self, name):
        """What the candidate returned when it ran last."""
        return self._ask(name, "result")

    def _start(self, name, make):
        self._ends[name], other = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(other, make), daemon=True)
        process.start()
        # Only the child holds this end now, so that its death is seen here.
        other.close()
        self._processes[name] = process
        self._ask(name, "begin")

    def _ask(self, name, what):
        try:
            self._ends[name].send(what)
            return self._ends[name].recv()
        except (EOFError, OSError) as error:
            self._processes[name].join(_PATIENCE)
            code = self._processes[name].exitcode
            raise RuntimeError(f"The process of {name!r} has failed (exit code {code}).") from error


def _serve(end, make):
    # Closed even if a thread of the candidate lives on, because the other process waits for it.
    with end:
        _answer(end, make)


def _answer(end, make):
    quiet()
    run = result = None
    # Nobody asks any more when the other end is closed.
    with suppress(EOFError, BrokenPipeError):
        while True:
            what = end.recv()
            if what == "begin":
                run = make()
                end.send(None)
            elif what == "run":
                result = run()
                end.send(None)
            else:
                end.send(result)
