"""A study on a cluster of two workers, one of which dies."""

import os
import signal
import threading
import time

import joblib
import pandas as pd
import pytest

from skbert import MaxPoolBERTClassifier, StabilityStudy
from skbert.stability import read_runs
from tests.helpers.study_models import Guesser, labelled_texts

distributed = pytest.importorskip("distributed", reason="test needs distributed; make test installs it")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_study__on_a_cluster_survives_the_death_of_a_worker(client, tmp_path):
    slow = Guesser(seconds=0.3)
    X, y = labelled_texts(60)
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "seeds": 10, "baselines": ("tfidf",), "random_state": 0}
    store = tmp_path / "runs.sqlite"
    victim = next(iter(client.run(os.getpid).values()))

    def kill():
        while not store.exists() or len(read_runs(store)) < 4:
            time.sleep(0.05)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with joblib.parallel_config(backend="dask"):
        results = StabilityStudy(slow, **given, store=store).fit(X, y).results_
    killer.join()
    assert victim not in client.run(os.getpid).values()
    alone = StabilityStudy(slow, **given).fit(X, y).results_
    pd.testing.assert_frame_equal(results.drop(columns="seconds"), alone.drop(columns="seconds"))


def test_encoders__give_the_same_numbers_on_a_cluster(client, tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    given = {"seeds": 3, "test_size": 6, "random_state": 0}
    with joblib.parallel_config(backend="dask"):
        there = StabilityStudy(clf, **given).fit(texts, labels).results_
    here = StabilityStudy(clf, **given).fit(texts, labels).results_
    pd.testing.assert_frame_equal(there.drop(columns="seconds"), here.drop(columns="seconds"))
