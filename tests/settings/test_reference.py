"""The reference of the configuration says what the settings models say."""

from pathlib import Path

from deployments.settings.findings import REFERENCE
from deployments.settings.reference import render

ROOT = Path(__file__).parents[2]


def test_the_reference_is_the_one_made_from_the_models() -> None:
    written = (ROOT / REFERENCE).read_text(encoding="utf-8")

    assert written == render(), "run: python -m deployments.settings.reference"


def test_the_reference_gives_description_bounds_and_default_of_each_key_of_a_section() -> None:
    row = (
        "| `retries.max` | whole number, at least 0, at most 10 | `2` | Times a model is asked again in one request. |"
    )

    assert row in render().splitlines()
