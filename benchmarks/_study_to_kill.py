"""A study of quick models, run in processes of its own.

python -m benchmarks._study_to_kill

For each store that is named on standard input a process does the study with two workers, and its number is printed.
All are forks of this one, which has imported everything already: else a hundred starts would take an hour.
"""

import os
import signal
import sys
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbert import StabilityStudy
from skbert.datasets import load_helpdesk


def slowly(X):
    """Texts as they are, after a moment, so that a kill meets a run at work."""
    time.sleep(0.05)
    return X


def studied_texts():
    """120 texts of the helpdesk, and their intents."""
    X, y = load_helpdesk(return_X_y=True)
    return X[:120], y[:120]


def study(store, n_jobs):
    """Two variants and the null model at two sizes over ten draws: 60 runs."""
    head = LogisticRegression(max_iter=200, solver="saga", tol=0.1)
    model = make_pipeline(FunctionTransformer(slowly), TfidfVectorizer(), head)
    variants = {"words": {}, "pairs": {"tfidfvectorizer__ngram_range": (1, 2)}}
    given = {"seeds": 10, "train_sizes": [24, 48], "baselines": "majority", "random_state": 0}
    return StabilityStudy(model, variants, store=store, n_jobs=n_jobs, **given)


def serve():
    """Fork a process for every line, until there are no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _do_study(line.rstrip("\n"))
        print(child, flush=True)


def _do_study(store):
    from joblib.externals.loky.backend.context import set_start_method

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    set_start_method("fork", force=True)
    try:
        study(store, n_jobs=2).fit(*studied_texts())
    finally:
        os._exit(0)


if __name__ == "__main__":
    # By its import, so that a store knows the functions by the same names in every process.
    from benchmarks import _study_to_kill

    _study_to_kill.serve()
