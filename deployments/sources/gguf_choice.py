"""Which GGUF file of many is meant: by its name, or by a pattern that only one matches."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from deployments.sources.errors import SourceError

_PART = re.compile(r"(?P<set>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_SHOWN = 20


def gguf_files(names: Iterable[str]) -> list[str]:
    """The names among `names` that are GGUF files, sorted."""
    return sorted(name for name in names if name.lower().endswith(".gguf"))


def choose_gguf(names: Iterable[str], wanted: str) -> str:
    """The GGUF file among `names` that `wanted` names or matches.

    Args:
        names: paths in a repository.
        wanted: one of them, or a pattern in which `*`, `?` and `[…]` stand for other letters, slashes among them.

    Raises:
        SourceError: none is meant, or several; the message names the candidates. A model in parts is refused as well.
    """
    found = gguf_files(names)
    matching = [wanted] if wanted in found else [name for name in found if fnmatchcase(name, wanted)]
    models = {_model(name) for name in matching}
    if not models:
        raise SourceError(f"file: {wanted} is no GGUF file of the repository (it has {listed(found)})")
    if len(models) > 1:
        raise SourceError(f"file: {wanted} matches {len(models)} models (accepted: one of {listed(matching)})")
    if _PART.fullmatch(matching[0]):
        raise SourceError(
            f"file: {wanted} is a model in parts ({listed(matching)}), which no engine here reads; accepted: one file "
            "(`llama-gguf-split --merge` of llama.cpp makes it)"
        )
    return matching[0]


def listed(names: list[str]) -> str:
    """`names` as a bounded list for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more


def _model(name: str) -> str:
    part = _PART.fullmatch(name)
    return f"{part['set']} in {part['count']}" if part else name
