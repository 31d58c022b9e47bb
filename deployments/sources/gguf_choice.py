"""Which GGUF file of many is meant, or which set of parts: by a name, or by a pattern that only one matches."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from deployments.sources.errors import SourceError
from deployments.sources.gguf_parts import model_of, parts_of

_SHOWN = 20


def gguf_files(names: Iterable[str]) -> list[str]:
    """The names among `names` that are GGUF files, sorted."""
    return sorted(name for name in names if name.lower().endswith(".gguf"))


def choose_gguf(names: Iterable[str], wanted: str) -> tuple[str, ...]:
    """The GGUF file among `names` that `wanted` names or matches; of a model in parts all of these, in order.

    Args:
        names: paths in a repository.
        wanted: one of them, or a pattern in which `*`, `?` and `[…]` stand for other letters, slashes among them.

    Raises:
        SourceError: none is meant, or several; the message names the candidates. Or a part is missing.
    """
    found = gguf_files(names)
    matching = [wanted] if wanted in found else [name for name in found if fnmatchcase(name, wanted)]
    models = {model_of(name) for name in matching}
    if not models:
        raise SourceError(f"file: {wanted} is no GGUF file of the repository (it has {listed(found)})")
    if len(models) > 1:
        raise SourceError(f"file: {wanted} matches {len(models)} models (accepted: one of {listed(matching)})")
    return parts_of(matching[0], found) or (matching[0],)


def listed(names: list[str]) -> str:
    """`names` as a bounded list for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
