"""A scan of a pickle before it is loaded, by fickling, which runs none of it.

A finding is an import from outside the packages that trained models are made of, or a pickle that fickling calls
malicious. The lock is the digest that a spec pins; the scan is a second look, as no scan finds everything.
"""

from typing import BinaryIO

from fickling.analysis import Severity, check_safety
from fickling.fickle import Interpreter, Pickled, PickleDecodeError

SAFE_IMPORTS = frozenset(
    {"collections", "joblib", "lightgbm", "numpy", "pandas", "scipy", "sklearn", "torch", "xgboost"}
)
"""Packages that pickled models import from."""

_HARMLESS_NAMES = frozenset({"_codecs.encode", "copy_reg._reconstructor", "copyreg._reconstructor"})
_HARMLESS_BUILTINS = frozenset({"bytearray", "complex", "dict", "frozenset", "list", "object", "range", "set", "slice"})


_UNREADABLE = (PickleDecodeError, EOFError, ValueError, IndexError, KeyError, AttributeError, NotImplementedError)
"""fickling raises these for a file that is no pickle, or that goes on as something else (joblib's arrays)."""


def findings(file: BinaryIO) -> list[str]:
    """Read the pickle in `file` and list what is suspicious about it. Rewinds the file."""
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
    """The imported names that no trained model needs."""
    Interpreter(pickled).to_ast()
    names = {
        f"{node.module}.{alias.name}" for node in pickled.properties.imports for alias in getattr(node, "names", ())
    }
    return sorted(name for name in names if not _is_safe(name))


def _is_safe(name: str) -> bool:
    package, _, rest = name.partition(".")
    if name in _HARMLESS_NAMES:
        return True
    if package in {"builtins", "__builtin__", "__builtins__"}:
        return rest in _HARMLESS_BUILTINS
    return package in SAFE_IMPORTS
