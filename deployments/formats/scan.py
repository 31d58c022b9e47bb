"""A look into a pickle before it is loaded, without running any of it (by fickling).

A finding is an import from outside the packages that trained models are made of, or what fickling calls malicious.
Beside the digest that a spec pins this is the second lock, not the first: no scan finds everything.
"""

from typing import BinaryIO

from fickling.analysis import Severity, check_safety
from fickling.fickle import Interpreter, Pickled, PickleDecodeError

EXPECTED = frozenset({"collections", "joblib", "lightgbm", "numpy", "pandas", "scipy", "sklearn", "torch", "xgboost"})
"""Packages that pickled models import from."""

_HARMLESS_NAMES = frozenset({"_codecs.encode", "copy_reg._reconstructor", "copyreg._reconstructor"})
_HARMLESS_BUILTINS = frozenset({"bytearray", "complex", "dict", "frozenset", "list", "object", "range", "set", "slice"})


_UNREADABLE = (PickleDecodeError, EOFError, ValueError, IndexError, KeyError, AttributeError, NotImplementedError)
"""What fickling raises for what is no pickle, or one that goes on as something else (joblib's arrays)."""


def findings(file: BinaryIO) -> list[str]:
    """What is suspicious about the pickle in `file`, from its beginning; empty where nothing is. Rewinds it."""
    try:
        pickled = Pickled.load(file)
        found = [f"it imports {name}" for name in _imports(pickled)]
        if check_safety(pickled).severity >= Severity.LIKELY_OVERTLY_MALICIOUS:
            found.append("fickling calls it malicious")
    except _UNREADABLE as error:
        found = [f"it could not be read to its end ({type(error).__name__})"]
    file.seek(0)
    return found


def _imports(pickled: Pickled) -> list[str]:
    """The names that are imported from where no model needs any."""
    Interpreter(pickled).to_ast()
    names = {
        f"{node.module}.{alias.name}" for node in pickled.properties.imports for alias in getattr(node, "names", ())
    }
    return sorted(name for name in names if not _is_expected(name))


def _is_expected(name: str) -> bool:
    package, _, rest = name.partition(".")
    if name in _HARMLESS_NAMES:
        return True
    if package in {"builtins", "__builtin__", "__builtins__"}:
        return rest in _HARMLESS_BUILTINS
    return package in EXPECTED
