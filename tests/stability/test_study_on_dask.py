"""A study on a cluster of two workers, one of which dies."""

import os
import signal
import threading

import joblib
import pandas as pd
import pytest

from skbert import MaxPoolBERTClassifier, StabilityStudy
from skbert.stability import read_runs
from tests.helpers.study_models import Gated, labelled_texts, open_gate
from tests.helpers.waiting import wait_until

distributed = pytest.importorskip("distributed", reason="test needs distributed; make test installs it")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_study__on_a_cluster_survives_the_death_of_a_worker(client, tmp_path):
    # Four fits pass, then both workers wait until one of them has been killed.
    gated = Gated(str(tmp_path), n_free=4)
    X, y = labelled_texts(60)
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "seeds": 10, "baselines": ("tfidf",), "random_state": 0}
    store = tmp_path / "runs.sqlite"
    victim = next(iter(client.run(os.getpid).values()))

    def kill():
        try:
            wait_until(lambda: store.exists() and len(read_runs(store)) >= 4)
            os.kill(victim, signal.SIGKILL)
        finally:
            open_gate(tmp_path)

    killer = threading.Thread(target=kill)
    killer.start()
    with joblib.parallel_config(backend="dask"):
        results = StabilityStudy(gated, **given, store=store).fit(X, y).results_
    killer.join()
    assert victim not in client.run(os.getpid).values()
    alone = StabilityStudy(gated, **given).fit(X, y).results_
    pd.testing.assert_frame_equal(results.drop(columns="seconds"), alone.drop(columns="seconds"))


def test_encoders__give_the_same_numbers_on_a_cluster(client, tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    given = {"seeds": 3, "test_size": 6, "random_state": 0}
    with joblib.parallel_config(backend="dask"):
        there = StabilityStudy(clf, **given).fit(texts, labels).results_
    here = StabilityStudy(clf, **given).fit(texts, labels).results_
    pd.testing.assert_frame_equal(there.drop(columns="seconds"), here.drop(columns="seconds"))
