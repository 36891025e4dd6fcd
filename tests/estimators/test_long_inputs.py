"""Many texts: in windows, in memory that does not grow with them, and over a cluster."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.estimators import _fitted_model
from skbert.text import windows
from tests.helpers.tiny import WORDS

ROOT = Path(__file__).parents[2]


def many_texts(n, seed=0):
    """Texts of one to eight words, some of them several times."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size)) for size in rng.integers(1, 9, n)]


@pytest.fixture
def in_windows(monkeypatch):
    """Call to make windows as small as this; gives a list of the sizes of all windows that are cut then."""

    def shrink(most_texts, most_characters=10**6):
        sizes = []

        def small(texts):
            for start, stop in windows(texts, most_texts, most_characters):
                sizes.append(stop - start)
                yield start, stop

        monkeypatch.setattr(_fitted_model, "windows", small)
        return sizes

    return shrink


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"store": "memory"}])
@pytest.mark.parametrize("pairs", [False, True])
def test_features__do_not_depend_on_windows(tiny, in_windows, options, pairs):
    X = many_texts(200)
    # In one window, in several, and in no window alone.
    X = [*X, *X[:30], *["lost parcel"] * 20, X[0]]
    X = list(zip(X, X[::-1], strict=True)) if pairs else X
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu", **options).fit(X)
    expected = LayerPoolFeaturizer(tiny(), device="cpu", **(options | {"store": None})).fit(X).transform(X)
    sizes = in_windows(16)
    features = featurizer.transform(X)
    assert sizes == [16] * 15 + [11]
    # Only the rounding of other batches.
    np.testing.assert_allclose(features, expected, atol=2e-6)


def test_predictions__do_not_depend_on_windows(tiny, in_windows, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    X = many_texts(100)
    expected = clf.predict_proba(X)
    assert len(in_windows(7, 100)) == 0
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=2e-6)


def test_texts_that_are_cut__are_counted_over_all_windows(tiny, in_windows):
    X = many_texts(60)
    featurizer = LayerPoolFeaturizer(tiny(), max_length=6, device="cpu").fit(X)
    n_long = sum(len(text.split()) > 4 for text in X)
    assert 10 < n_long < 50
    in_windows(10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        featurizer.transform(X)
    (warning,) = caught
    assert f"{n_long} of 60 texts" in str(warning.message)
    assert warning.filename == __file__


_GROWTH = """
import sys
from functools import partial
from pathlib import Path
from skbert import LayerPoolFeaturizer
from skbert.estimators import _fitted_model
from skbert.text import windows
from tests.estimators.test_long_inputs import many_texts

def resident(field):
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(field))

folder, n_texts, most_texts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_fitted_model.windows = partial(windows, most_texts=most_texts)
X = [f"{text} {i:x}" for i, text in enumerate(many_texts(n_texts))]
featurizer = LayerPoolFeaturizer(folder, normalize=True, device="cpu").fit(X)
featurizer.transform(X[:2000])
before = resident("VmRSS")
features = featurizer.transform(X)
print(resident("VmHWM") - before - features.nbytes)
"""


def growth(folder, n_texts, most_texts):
    """Bytes at the peak of a transform in a process of its own, above texts, encoder and result."""
    command = [sys.executable, "-c", _GROWTH, folder, str(n_texts), str(most_texts)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="test needs /proc, where the peak of memory is")
def test_memory__beside_texts_and_result_does_not_grow_with_the_texts(tiny):
    folder = tiny(n_layers=1)
    # Without windows, each text needs more than a kilobyte.
    assert growth(folder, 20_000, most_texts=20_000) > 25e6
    assert growth(folder, 20_000, most_texts=2000) < 15e6


# ---------------------------------------------------------------- over a cluster


def features_of(part, folder):
    """As the guide shows it: the function that Dask calls with each partition."""
    featurizer = LayerPoolFeaturizer(folder, device="cpu").fit(["any text"])
    values = featurizer.transform(part) if len(part) else np.empty((0, featurizer.n_features_out_), np.float32)
    return pd.DataFrame(values, columns=featurizer.get_feature_names_out(), index=part.index)


def noted_features(part, folder, notes):
    """The same, and a note of the process that computed it."""
    (notes / str(os.getpid())).touch()
    return features_of(part, folder)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed", reason="test needs distributed; make test installs it")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_map_partitions__over_two_workers_equals_transform(client, tiny, tmp_path):
    frames = pytest.importorskip("dask.dataframe", reason="test needs dask.dataframe; make test installs it")
    folder = tiny()
    X = pd.Series(many_texts(300), name="text")
    texts = frames.from_pandas(X, npartitions=6)
    # A partition that has lost all its rows is one, too.
    texts = frames.concat([texts, texts[texts == "no such text"].repartition(npartitions=1)])
    meta = features_of(pd.Series(["any text"]), folder)
    (tmp_path / "notes").mkdir()
    texts.map_partitions(noted_features, folder, tmp_path / "notes", meta=meta).to_parquet(tmp_path / "features")
    assert {int(note.name) for note in (tmp_path / "notes").iterdir()} == set(client.run(os.getpid).values())
    found = pd.read_parquet(tmp_path / "features")
    featurizer = LayerPoolFeaturizer(folder, device="cpu").fit(X)
    assert found.columns.tolist() == featurizer.get_feature_names_out().tolist()
    assert (found.dtypes == np.float32).all()
    np.testing.assert_array_equal(found.index, X.index)
    np.testing.assert_allclose(found.to_numpy(), featurizer.transform(X), atol=2e-6)
