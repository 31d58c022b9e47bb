"""What could not be made of weights, so that not every start spends minutes on trying it again.

    <name>.failed    beside the place of what was to be made: the reason, and the versions that it failed with

It is tried again once a library has another version, or the weights have changed, and whenever an operator asks for it
(`neverblank pull`). A cache that cannot be written to, a lock that is not free: these are no failures of that kind.
"""

from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field, ValidationError

from deployments.settings.base import Settings
from deployments.sources.pickles import write_text

HOW_TO_RETRY = "`neverblank pull` tries it again"

_ENDING = ".failed"
_MADE_WITH = ("openvino", "openvino-genai", "openvino-tokenizers", "transformers", "gguf", "neverblank")


class _Failure(Settings):
    """The record of a failure; its fields are those of the JSON file."""

    reason: str = Field(description="Why, for operators.")
    subject: str = Field(description="What else it depended on, such as a revision and a limit.")
    versions: dict[str, str] = Field(description="The versions of the libraries.")
    at: datetime = Field(description="When, in UTC.")


def earlier_failure(product: Path, subject: str) -> str:
    """Return why `product` could not be made before of the same `subject`, and how to try again; empty where it may be.

    Args:
        product: the place of what is to be made.
        subject: what it depends on and its place does not tell.
    """
    try:
        failure = _Failure.model_validate_json(_record(product).read_bytes())
    except (OSError, ValidationError):
        return ""
    if failure.subject != subject or failure.versions != _versions():
        return ""
    return f"{failure.reason} (it failed on {failure.at:%Y-%m-%d %H:%M} UTC; {HOW_TO_RETRY})"


def note_failure(product: Path, subject: str, reason: str) -> None:
    """Remember that `product` could not be made of `subject`. Where that cannot be written, it is tried again."""
    failure = _Failure(reason=reason, subject=subject, versions=_versions(), at=datetime.now(UTC))
    with suppress(OSError):
        write_text(_record(product), failure.model_dump_json(indent=2))


def forget_failure(product: Path) -> None:
    """Forget what is remembered of `product`, if anything is."""
    with suppress(OSError):
        _record(product).unlink(missing_ok=True)


def failures_in(folder: Path) -> list[Path]:
    """Return the records of all failures in a folder."""
    return sorted(folder.glob(f"*{_ENDING}"))


def _record(product: Path) -> Path:
    return product.with_name(f"{product.name}{_ENDING}")


def _versions() -> dict[str, str]:
    found = {}
    for name in _MADE_WITH:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
