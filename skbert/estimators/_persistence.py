"""How a fitted estimator is stored: pickled as arrays, or saved as JSON and safetensors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sklearn import config_context
from sklearn.utils.validation import check_is_fitted

from skbert._shared import from_json, to_json, warn
from skbert.errors import SavedEstimatorError
from skbert.estimators._fitted_model import FittedModel
from skbert.estimators._nested_model import is_frozen, is_nested
from skbert.saving import read_folder, write_folder

if TYPE_CHECKING:
    import os

    from typing_extensions import Self


class PersistenceMixin:
    """Pickling, `save` and `load` for an estimator that keeps its `FittedModel` in ``_fitted``.

    A subclass with another fitted model names its class in ``_fitted_kind``; it has the same methods as `FittedModel`:
    ``state``, ``from_state``, ``from_saved``, ``check_copy``, ``tensors``, ``blueprint`` and ``tokenizer_files``.
    """

    _fitted_kind: Any = FittedModel

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_fitted" in state:
            state["_fitted"] = self._fitted.state()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_fitted" in state:
            state["_fitted"] = self._fitted_kind.from_state(state["_fitted"])
        super().__setstate__(state)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the fitted estimator as JSON and safetensors.

        An estimator already in `folder` is replaced in one step: after a crash
        the folder holds the old one or the new one. What JSON cannot hold, such as
        `callbacks` or a `random_state` that is a generator object, is left out, with a warning.

        Parameters
        ----------
        folder : str or path
            The folder is created if it does not exist.

        Raises
        ------
        NotFittedError
            The estimator is not fitted.
        NotADirectoryError
            `folder` is a file.
        TypeError
            The classes are of a type that JSON cannot hold.
        SavedEstimatorError
            The tokenizer, built again from its files, would give other ids.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", layers=2).fit(["where is my parcel"])
        >>> with TemporaryDirectory() as folder:
        ...     featurizer.save(Path(folder) / "model")
        ...     sorted({path.suffix for path in (Path(folder) / "model").iterdir()})
        ['.json', '.safetensors']
        """
        check_is_fitted(self)
        self._fitted.check_copy()
        parameters, dropped = {}, []
        for name, value in self.get_params(deep=False).items():
            try:
                parameters[name] = _parameter_to_json(str(value) if name == "device" else value)
            except TypeError:
                parameters[name] = None
                dropped.append(name)
        attributes = {}
        for name, value in vars(self).items():
            if name in parameters or name in ("_fitted", "_sklearn_version", "_metadata_request"):
                continue
            try:
                attributes[name] = to_json(value)
            except TypeError as error:
                if name == "classes_":
                    raise TypeError(
                        f"These classes cannot be saved ({error}); fit on texts, numbers or dates."
                    ) from error
                dropped.append(_SHOWN.get(name, name))
        if dropped:
            warn(
                f"Not saved, because JSON cannot hold them: {', '.join(dropped)}. After loading, such parameters are "
                "None, and such attributes are missing."
            )
        fitted = self._fitted
        state = {
            "parameters": parameters,
            "attributes": attributes,
            "requests": _requests(self),
            "blueprint": fitted.blueprint.to_json(),
            # latin-1 maps every byte to one character, so any tokenizer file can be stored in JSON without loss.
            "tokenizer_files": {name: content.decode("latin-1") for name, content in fitted.tokenizer_files.items()},
        }
        write_folder(folder, type(self).__name__, state, fitted.tensors())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load an estimator that `save` wrote; nothing is unpickled.

        Parameters
        ----------
        folder : str or path
            The folder that was passed to `save`.

        Returns
        -------
        The fitted estimator, of this class.

        Raises
        ------
        SavedEstimatorError
            The folder holds no saved estimator, is damaged or incomplete, or holds another class.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from skbert import LayerPoolFeaturizer
        >>> texts = ["where is my parcel"]
        >>> featurizer = LayerPoolFeaturizer("minilm", layers=2).fit(texts)
        >>> with TemporaryDirectory() as folder:
        ...     featurizer.save(folder)
        ...     again = LayerPoolFeaturizer.load(folder)
        >>> bool((again.transform(texts) == featurizer.transform(texts)).all())
        True
        """
        state, tensors = read_folder(folder, cls.__name__)
        estimator = cls(**{name: _parameter_from_json(value) for name, value in state["parameters"].items()})
        for name, value in state["attributes"].items():
            setattr(estimator, name, from_json(value))
        files = {name: content.encode("latin-1") for name, content in state["tokenizer_files"].items()}
        # Folders that were saved before blueprints existed call it "facts".
        blueprint = state["blueprint"] if "blueprint" in state else state["facts"]
        estimator._fitted = cls._fitted_kind.from_saved(tensors, blueprint, files)
        # Requests can be set only where routing is on, and belong to the estimator wherever it is off.
        with config_context(enable_metadata_routing=True):
            for setter, requests in state.get("requests", {}).items():
                getattr(estimator, setter)(**requests)
        return estimator


# What users call an attribute that scikit-learn keeps for them.
_SHOWN = {"_skl_callbacks": "callbacks of set_callbacks"}


_NESTED = "__estimator__"


def _parameter_to_json(value):
    """A parameter as JSON types; a model that trains an encoder becomes its class and its parameters.

    Raises
    ------
    TypeError
        JSON cannot hold the value. What a frozen model has learned is such a value.
    """
    if not is_nested(value):
        return to_json(value)
    if is_frozen(value):
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return {_NESTED: type(value).__name__, "parameters": to_json(value.get_params(deep=False))}


def _parameter_from_json(value):
    """The inverse of `_parameter_to_json`; SavedEstimatorError if the class is none of this package."""
    if not (isinstance(value, dict) and _NESTED in value):
        return from_json(value)
    # Its room stands above this one. The package knows where each public class is, and nothing else is called.
    kind = getattr(import_module(__name__.partition(".")[0]), value[_NESTED], None)
    if not (isinstance(kind, type) and issubclass(kind, PersistenceMixin) and hasattr(kind, "to_transformers")):
        raise SavedEstimatorError(
            f"The saved estimator names the model {value[_NESTED]!r}, which skbert does not have."
        )
    return kind(**from_json(value["parameters"]))


def _requests(estimator):
    """The metadata that an estimator was told to request, by the name of the method that sets it."""
    if "_metadata_request" not in vars(estimator):
        return {}
    routing = estimator.get_metadata_routing()
    setters = [name for name in dir(type(estimator)) if name.startswith("set_") and name.endswith("_request")]
    found = {name: getattr(routing, name[len("set_") : -len("_request")]).requests for name in setters}
    return {name: dict(requests) for name, requests in found.items() if requests}
