"""The settings that the documents show, as tests: an example can be copied as it stands."""

import re

import pytest
import yaml

from deployments.settings import PolicySettings
from tests.architecture.test_documents import DOCUMENTS, text_of

EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANCHOR = re.compile(r"\*\w+")
"""What another part of the file names: an example of a part has it not."""

EXAMPLES = [
    pytest.param(example, id=f"{document}-{number}")
    for document in DOCUMENTS
    for number, example in enumerate(EXAMPLE.findall(text_of(document)))
]


def policy_in(example: str) -> dict[str, object] | None:
    """The policy's settings in an example: those of `user_config`, or one that begins with `remotes`."""
    read = yaml.safe_load(ANCHOR.sub("{}", example))
    if not isinstance(read, dict):
        return None
    found = read.get("user_config", read if "remotes" in read else None)
    assert found is None or isinstance(found, dict)
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_yaml_and_one_of_the_policy_fits_it(example: str) -> None:
    shown = policy_in(example)

    if shown is not None:
        PolicySettings().with_overrides(shown, {})


def test_there_are_examples_of_the_policy() -> None:
    assert len([each for each in EXAMPLES if policy_in(str(each.values[0]))]) > len(("api", "models", "operations"))
