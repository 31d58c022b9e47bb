"""Whether the changelog says what a release is."""

import re
from dataclasses import dataclass
from datetime import date

_HEADING = re.compile(r"^## (?P<version>\S+) \((?P<when>[^)]+)\)$", re.MULTILINE)
_UNRELEASED = "unreleased"


class ChangelogError(Exception):
    """The changelog does not describe the version; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the changelog about one version.

    Attributes:
        version: as its heading says.
        when: the day it was given out.
        text: what it says.
    """

    version: str
    when: date
    text: str


def section_of(changelog: str, version: str) -> Section:
    """The newest section of `changelog`, which has to be the one of `version`, dated and with something in it.

    Raises:
        ChangelogError: it is not.
    """
    headings = list(_HEADING.finditer(changelog))
    if not headings:
        raise ChangelogError("no heading such as `## 0.1.0 (2026-11-26)`")
    newest = headings[0]
    if newest["version"] != version:
        raise ChangelogError(f"the newest section is of {newest['version']}, pyproject.toml says {version}")
    if newest["when"] == _UNRELEASED:
        raise ChangelogError(f"{version} is marked as unreleased: give it its day")
    try:
        when = date.fromisoformat(newest["when"])
    except ValueError as error:
        raise ChangelogError(f"{newest['when']!r} is no day such as 2026-11-26") from error
    text = changelog[newest.end() : headings[1].start() if len(headings) > 1 else None].strip()
    if not text:
        raise ChangelogError(f"the section of {version} is empty")
    return Section(version, when, text)
