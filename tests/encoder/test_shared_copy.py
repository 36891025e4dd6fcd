"""Copies of encoders for other processes: the same encoder, with weights that stay in one file."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from skbert.encoder import _loading, clear_cache, load_encoder, share_encoder, use_shared_copies
from tests.helpers.mapped import lie_in_a_file_below
from tests.helpers.tiny import FAMILIES, write_tiny

pytestmark = pytest.mark.skipif(os.name != "posix", reason="encoders are shared on POSIX systems only")


@pytest.fixture(autouse=True)
def empty_cache():
    clear_cache()
    yield
    clear_cache()


@pytest.fixture
def original(tmp_path):
    return Path(write_tiny(tmp_path / "original"))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "copy"


def as_another_process(copy):
    """From now on as in a process that was given the copy."""
    clear_cache()
    use_shared_copies([copy])


def overwrite_in_place(path, seed):
    """Other weights of the same size, as `cp` writes them."""
    other = Path(write_tiny(path.parents[1] / f"seed-{seed}", seed=seed)) / path.name
    assert other.stat().st_size == path.stat().st_size
    path.write_bytes(other.read_bytes())


def weights(loaded):
    return {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", FAMILIES)
def test_copy__of_any_family__is_the_encoder(tiny, place, family):
    expected = load_encoder(tiny(family))
    as_another_process(share_encoder(tiny(family), None, place))
    found = load_encoder(tiny(family))
    assert found is not expected
    assert same(weights(found), weights(expected))
    buffers = dict(expected.model.named_buffers())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in found.model.named_buffers())
    assert not found.model.training
    for name in ("name", "weights_sha256", "tokenizer_sha256", "tokenizer_files", "has_pooler"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.model.config.to_dict() == expected.model.config.to_dict()
    text = "where is my parcel, it came late"
    assert found.tokenizer(text)["input_ids"] == expected.tokenizer(text)["input_ids"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("family", FAMILIES)
def test_weights__of_a_copy__lie_in_its_file(tiny, place, family):
    as_another_process(share_encoder(tiny(family), None, place))
    parameters = list(load_encoder(tiny(family)).model.parameters())
    assert all(lie_in_a_file_below(place, parameters))
    clear_cache()
    use_shared_copies([])
    shutil.rmtree(place)
    assert not any(lie_in_a_file_below(place, load_encoder(tiny(family)).model.parameters()))


def test_weights__in_half_precision_or_of_odd_sizes__begin_where_torch_lets_them(tmp_path, place, original):
    half = tmp_path / "half"
    place.mkdir()
    shutil.copytree(original, half)
    AutoModel.from_pretrained(original).half().save_pretrained(half)
    odd = write_tiny(tmp_path / "odd", width=12, n_heads=2)
    for path in (half, Path(odd)):
        expected = weights(load_encoder(path))
        as_another_process(share_encoder(path, None, place / path.name))
        found = load_encoder(path)
        assert same(weights(found), expected)
        assert all(p.dtype == torch.float32 and p.data_ptr() % 64 == 0 for p in found.model.parameters())


def test_original__overwritten_in_place_with_its_time_kept__does_not_change_the_encoder(original, place):
    before = weights(load_encoder(original))
    as_another_process(share_encoder(original, None, place))
    path, stat = original / "model.safetensors", (original / "model.safetensors").stat()
    overwrite_in_place(path, seed=1)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    # Who loads now reads the copy alone.
    assert same(weights(load_encoder(original)), before)


def test_original__overwritten_in_place_after_loading__does_not_change_the_encoder(original, place):
    before = weights(load_encoder(original))
    as_another_process(share_encoder(original, None, place))
    loaded = load_encoder(original)
    overwrite_in_place(original / "model.safetensors", seed=1)
    assert same(weights(loaded), before)
    # Who loads now gets what is there now, as without a copy.
    now = load_encoder(original)
    assert same(now.model.state_dict(), AutoModel.from_pretrained(original).state_dict())
    assert not same(weights(now), before)
    assert now.weights_sha256 == hashlib.sha256((original / "model.safetensors").read_bytes()).hexdigest()


def test_copy__that_somebody_writes_to_in_memory__stays_as_it_is_for_others(original, place):
    as_another_process(share_encoder(original, None, place))
    content = (place / "model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in load_encoder(original).model.parameters():
            parameter.add_(1.0)
    assert (place / "model.safetensors").read_bytes() == content


@pytest.mark.parametrize("damage", ["removed", "cut", "empty"])
def test_copy__that_is_gone_or_damaged__is_done_without(original, place, damage):
    before = weights(load_encoder(original))
    as_another_process(share_encoder(original, None, place))
    if damage == "removed":
        shutil.rmtree(place)
    else:
        path = place / "model.safetensors"
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut" else 0])
    assert same(weights(load_encoder(original)), before)


def test_copy__that_cannot_be_made__is_none(original, place, tmp_path, monkeypatch):
    assert share_encoder(original, None, place / "below what is not there") is None
    assert share_encoder(tmp_path / "no such encoder", None, place) is None
    with monkeypatch.context() as patch:
        patch.setattr(_loading, "can_share", lambda: False)
        assert share_encoder(original, None, place) is None

    def until_the_disk_is_full(loaded, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(_loading, "write_copy", until_the_disk_is_full)
    assert share_encoder(original, None, place) is None
    assert not place.exists()
