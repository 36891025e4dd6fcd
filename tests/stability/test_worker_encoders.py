"""Workers of a study use one copy of each encoder, which is gone when the study is over, however it ends."""

import os
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, StabilityStudy
from skbert.encoder import SharedCopy, load_encoder
from skbert.stability import _worker_encoders
from skbert.stability._execution import Job, execute
from skbert.stability._run import Run
from skbert.stability._run_store import RunStore
from tests.encoder.test_shared_copy import overwrite_in_place
from tests.helpers.mapped import lie_in_a_file_below, own_kilobytes
from tests.helpers.study_models import same
from tests.helpers.tiny import write_tiny
from tests.helpers.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="encoders are shared on POSIX systems only"),
    pytest.mark.filterwarnings("ignore:With seeds=:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* runs failed:RuntimeWarning"),
]
COPIES = "skbert-*/*"


@pytest.fixture
def encoder(tmp_path):
    """An encoder that no worker has seen."""
    return write_tiny(tmp_path / "encoder")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, here and in the processes that are started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def n_copies(folder):
    return len(list(Path(folder).glob(f"{COPIES}/model.safetensors")))


class Seen:
    """A scorer of what can be seen from within a run; the study gets it as a number."""

    def __init__(self, look, *arguments):
        self.look = look
        self.arguments = arguments

    def __call__(self, fitted, X, y):
        return float(self.look(fitted, *self.arguments))


def share_mapped(fitted, model):
    """Share of the tensors of the loaded encoder that lie in a copy."""
    lying = lie_in_a_file_below(COPIES, load_encoder(model).model.parameters())
    return sum(lying) / len(lying)


def private(fitted):
    """What this process holds of copies for itself alone, in kB; -1 where it has mapped none."""
    found = own_kilobytes(COPIES)
    return -1 if found is None else found


def n_mapped(fitted):
    """Number of weights of the trained network that lie in a copy, where training or a user would change them."""
    return sum(lie_in_a_file_below(COPIES, fitted.weights().values()))


def n_copies_seen(fitted, folder):
    return n_copies(folder)


def run(clf, texts, labels, n_jobs=2, variants=None, **looks):
    given = {"seeds": 2, "test_size": 6, "random_state": 0, "baselines": (), "n_jobs": n_jobs}
    scoring = {"scoring": {name: Seen(*look) for name, look in looks.items()}} if looks else {}
    return StabilityStudy(clf, variants, **given, **scoring).fit(texts, labels).results_


def test_workers__do_not_read_the_weights_again(encoder, texts, labels, quick):
    clf = MaxPoolBERTClassifier(encoder, **quick)
    frozen = make_pipeline(LayerPoolFeaturizer(encoder, device="cpu"), LogisticRegression())
    variants = {"tuned": {}, "half": {"freeze_layers": 2}, "frozen": frozen}
    here = run(clf, texts, labels, 1, variants)
    # As if nothing had happened to the file: whoever read it now would compute other numbers.
    path = Path(encoder) / "model.safetensors"
    stat = path.stat()
    overwrite_in_place(path, seed=1)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    same(run(clf, texts, labels, 2, variants), here)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers__hold_no_weights_of_their_own_but_those_of_the_fitted_model(encoder, texts, labels, quick):
    clf = MaxPoolBERTClassifier(encoder, **quick)
    looks = {"mapped": (share_mapped, encoder), "private": (private,), "fitted": (n_mapped,)}
    results = run(clf, texts, labels, variants={"tuned": {}, "half": {"freeze_layers": 2}}, **looks)
    assert results["mapped"].tolist() == [1.0] * 4
    assert results["private"].tolist() == [0.0] * 4
    assert results["fitted"].tolist() == [0.0] * 4


def test_copies__are_there_during_the_study_and_gone_afterwards(encoder, temporary, texts, labels, quick):
    clf = MaxPoolBERTClassifier(encoder, **{**quick, "max_epochs": 1})
    results = run(clf, texts, labels, variants={"a": {}, "b": {"layers": 1}}, n=(n_copies_seen, str(temporary)))
    # One for both variants.
    assert results["n"].tolist() == [1.0] * 4
    assert list(temporary.glob("skbert-*")) == []


@pytest.mark.filterwarnings("ignore:.*still being processed by the workers:UserWarning")
def test_copies__are_gone_after_a_study_that_was_stopped(encoder, temporary, texts, labels, quick, monkeypatch):
    def add(*_):
        assert n_copies(temporary) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "add", add)
    with pytest.raises(KeyboardInterrupt):
        run(MaxPoolBERTClassifier(encoder, **{**quick, "max_epochs": 1}), texts, labels)
    assert list(temporary.glob("skbert-*")) == []


def test_copies__are_not_made_where_no_process_needs_them(encoder, temporary, texts, labels, quick):
    clf = MaxPoolBERTClassifier(encoder, **{**quick, "max_epochs": 1})
    given = {"n": (n_copies_seen, str(temporary))}
    assert run(clf, texts, labels, 1, **given)["n"].tolist() == [0.0] * 2
    with joblib.parallel_config(backend="threading"):
        assert run(clf, texts, labels, 2, **given)["n"].tolist() == [0.0] * 2


def test_study__without_room_for_copies_has_the_same_numbers(encoder, texts, labels, quick, monkeypatch):
    clf = MaxPoolBERTClassifier(encoder, **quick)
    here = run(clf, texts, labels, 1)

    def no_room(*args, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(_worker_encoders, "TemporaryDirectory", no_room)
    looks = {"mapped": (share_mapped, encoder)} if sys.platform == "linux" else {}
    assert run(clf, texts, labels, 2, **looks).get("mapped", here["accuracy"] * 0).tolist() == [0.0] * 2
    same(run(clf, texts, labels, 2), here)


_SCRIPT = """
import os, sys, time
from pathlib import Path
from skbert import MaxPoolBERTClassifier, StabilityStudy
from tests.helpers.study_models import labelled_texts

encoder, marks = sys.argv[1:]

class Waiting(MaxPoolBERTClassifier):
    def fit(self, X, y, marks=marks):
        Path(marks, f"fitting-{os.getpid()}").touch()
        time.sleep(3600)

StabilityStudy(Waiting(encoder), seeds=2, baselines=(), n_jobs=2).fit(*labelled_texts(40))
"""


def test_copies__are_removed_by_the_workers_of_a_study_that_was_killed(encoder, temporary):
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, encoder, str(temporary)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(temporary)},
    )
    # Both workers, for one that gets its first run after the end of the study does not know that it is alone.
    wait_until(lambda: len(list(temporary.glob("fitting-*"))) == 2 or process.poll() is not None)
    assert n_copies(temporary) == 1
    process.kill()
    process.wait()
    wait_until(lambda: not list(temporary.glob("skbert-*")))


def test_worker__whose_study_ended_before_its_first_job__trains_nothing_and_removes_the_copies(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "skbert-copies" / "0"
    folder.mkdir(parents=True)
    copies = (SharedCopy(("key",), str(folder), "hash"),)
    run = Run("a", 2, 0, None)
    job = Job(run, None, (None, None), (None, None), ["accuracy"], {}, False, copies)
    job.owner = ended.pid
    found, outcome = execute(job)
    assert found == run
    assert (outcome["status"], outcome["reason"]) == ("failed", "the process of the study has ended")
    assert list(tmp_path.iterdir()) == []


class Model:
    """An estimator that is its own fitted model."""

    def fit(self, X, y):
        return self


def test_worker__after_a_run__gives_back_what_is_free(monkeypatch):
    alive = []
    job = Job(Run("a", 2, 0, None), Model(), (None, None), (None, None), {}, {}, False)
    model = weakref.ref(job.estimator)
    monkeypatch.setattr("skbert.stability._execution.give_back_freed_memory", lambda: alive.append(model()))
    execute(job)
    # In the process of the study, other parts of the program may need the memory again, and the job.
    assert alive == []
    assert job.estimator is not None
    # A process of another machine.
    job.host = "elsewhere"
    execute(job)
    assert alive == [None]
