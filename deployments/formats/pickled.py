"""Pickled and joblib objects, scikit-learn's among them, and skops files.

The object is called with the request's `input`: a list of rows, or a list of objects, of which a pandas frame is made.
A text is one row: the object is called with a list that holds it, and the first result is the answer.
"""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from deployments.formats.calling import CalledModel, UnreadableInputError
from deployments.formats.scan import findings
from deployments.request import extract_text
from deployments.settings import PickleSpec
from deployments.sources.model_file import ModelFileError, open_model_file

_METHODS = ("predict", "transform")


def load_pickle(spec: PickleSpec) -> CalledModel:
    """Load the object of `spec`.

    Raises:
        ModelFileError: it must not be loaded; the message says why.
        ModelTooLargeError: it is over the limit.
        TypeError: it has nothing to call.
        Exception: its own code may raise anything.
    """
    with open_model_file(spec) as file:
        loaded = _load_skops(file, spec) if spec.is_skops else _load(file, spec)
    method, call = _callable(loaded, spec)
    facts = {"format": "pickle", "type": type(loaded).__name__, "method": method}
    return CalledModel(lambda inputs: _called(call, inputs), facts, spec.max_ongoing_requests)


def _load(file: BinaryIO, spec: PickleSpec) -> Any:
    found = findings(file)
    if found and not spec.allow_unsafe_imports:
        raise ModelFileError(
            f"{spec.path}: {'; '.join(found[:5])} (accepted: a pickle of a common library's model, a .skops file, or "
            "allow_unsafe_imports: true, if you know what is in it)"
        )
    try:
        import joblib
    except ModuleNotFoundError:  # only scikit-learn's models come in joblib's own form, and it brings joblib along
        import pickle

        return pickle.load(file)  # noqa: S301 - its digest was pinned, and it has been scanned
    return joblib.load(file)


def _load_skops(file: BinaryIO, spec: PickleSpec) -> Any:
    from skops.io import get_untrusted_types, loads

    data = file.read()
    if untrusted := get_untrusted_types(data=data):
        names = ", ".join(untrusted[:5])
        raise ModelFileError(
            f"{spec.path}: it holds types that skops does not trust: {names} (accepted: those it does)"
        )
    return loads(data)


def _callable(loaded: Any, spec: PickleSpec) -> tuple[str, Callable[[Any], Any]]:
    methods = {"auto": (*_METHODS, "__call__"), "call": ("__call__",)}.get(spec.method, (spec.method,))
    for name in methods:
        if callable(method := getattr(loaded, name, None)):
            return name.strip("_"), method
    raise TypeError(f"{spec.path} holds a {type(loaded).__name__}, which has no {' or '.join(methods)}")


def _called(call: Callable[[Any], Any], inputs: Mapping[str, Any]) -> Any:
    try:
        return _answer(call, inputs)
    except (ValueError, TypeError) as error:
        if _is_about_the_input(error):
            raise UnreadableInputError("input", f"input: {error}") from error
        raise


def _is_about_the_input(error: BaseException) -> bool:
    """Whether scikit-learn refused the input: one of its modules checks it, and texts among numbers fail below it."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).parts[-3:] == ("sklearn", "utils", "validation.py") for frame in frames)


def _answer(call: Callable[[Any], Any], inputs: Mapping[str, Any]) -> Any:
    value = inputs.get("input")
    if value is None or isinstance(value, str):
        return call([extract_text(inputs)])[0]
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        import pandas as pd

        return call(pd.DataFrame(value))
    return call(value)
