"""A release is made of a changelog that says what it is, and of a tree without changes."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from deploy.changelog import ChangelogError, section_of
from deploy.release import NotReleasableError, require_clean

ROOT = Path(__file__).parents[2]
GOOD = "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n- What is new.\n\n## 0.1.0 (2026-11-26)\n\n- All of it.\n"


def test_the_newest_section_is_what_a_release_says_of_itself() -> None:
    section = section_of(GOOD, "0.2.0")

    assert (section.version, section.when, section.text) == ("0.2.0", date(2026, 12, 1), "- What is new.")


@pytest.mark.parametrize(
    ("changelog", "trouble"),
    [
        ("# Changelog\n", "no heading"),
        (GOOD.replace("0.2.0", "0.3.0"), "of 0.3.0"),
        (GOOD.replace("2026-12-01", "unreleased"), "unreleased"),
        (GOOD.replace("2026-12-01", "2026-13-01"), "no day"),
        (GOOD.replace("- What is new.", ""), "empty"),
    ],
)
def test_a_changelog_that_does_not_describe_the_version_makes_no_release(changelog: str, trouble: str) -> None:
    with pytest.raises(ChangelogError, match=re.escape(trouble)):
        section_of(changelog, "0.2.0")


def test_the_project_has_a_section_for_the_version_it_is_at() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert section_of(changelog.replace("(unreleased)", "(2026-01-01)"), version).text


def test_a_tree_with_changes_or_a_version_that_is_tagged_makes_no_release() -> None:
    require_clean("", "")

    with pytest.raises(NotReleasableError, match="not committed"):
        require_clean(" M README.md\n", "")
    with pytest.raises(NotReleasableError, match="tagged"):
        require_clean("", "v0.1.0\n")
