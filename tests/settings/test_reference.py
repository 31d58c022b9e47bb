"""The README's configuration reference says what the settings models say."""

from pathlib import Path

from deployments.settings.reference import insert

README = Path(__file__).parents[2] / "README.md"


def test_the_reference_in_the_readme_is_the_one_made_from_the_models() -> None:
    written = README.read_text(encoding="utf-8")

    assert insert(written) == written, "run: python -m deployments.settings.reference README.md"
