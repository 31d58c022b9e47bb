"""Faults of settings: each names the file, the key, the fault and the accepted values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that cannot be used.

    Attributes:
        file: the file, or the name of what was read.
        key: the key in it, dotted; empty for the file as a whole.
        wrong: what is wrong with it.
        accepted: what would be right; empty where `wrong` says it.
    """

    file: str
    key: str
    wrong: str
    accepted: str

    def __str__(self) -> str:
        """One line."""
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: {self.wrong}" + (f" (accepted: {self.accepted})" if self.accepted else "")


class SettingsError(ValueError):
    """Settings that cannot be used. The text has one line for each fault.

    Attributes:
        faults: all that is wrong, at least one fault.
        file: that of the first fault.
        key: that of the first fault.
        wrong: that of the first fault.
        accepted: that of the first fault.
    """

    def __init__(self, file: str, key: str, wrong: str, accepted: str, further: tuple[Fault, ...] = ()) -> None:
        self.faults = (Fault(file, key, wrong, accepted), *further)
        super().__init__("\n".join(map(str, self.faults)))
        self.file, self.key, self.wrong, self.accepted = file, key, wrong, accepted

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Self:
        """The error of `faults`, of which there is at least one."""
        first, *further = faults
        return cls(first.file, first.key, first.wrong, first.accepted, tuple(further))

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[str, str, str, str, tuple[Fault, ...]]]:
        """Pickle by its parts: it crosses from the build task to the user."""
        return type(self), (self.file, self.key, self.wrong, self.accepted, self.faults[1:])
