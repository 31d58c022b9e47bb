"""An enumeration that the engine compiles for seconds, with everybody waiting, is left to the check of the answer."""

import json

from deployments.generation.xgrammar_schema import write_schema


def test_an_enumeration_is_kept_up_to_a_bound_and_its_types_beyond_it() -> None:
    few = write_schema(json.dumps({"enum": ["red", 1, None]}))
    many = write_schema(json.dumps({"items": {"enum": [*range(64), "red"]}}))

    assert few == {"enum": ["red", 1, None]}
    assert "enum" not in json.dumps(many)
    assert {kind in json.dumps(many) for kind in ('"integer"', '"string"')} == {True}


def test_the_values_of_all_enumerations_are_counted_together() -> None:
    written = json.dumps(
        write_schema(json.dumps({"anyOf": [{"enum": list(range(60))}, {"enum": list(range(60, 80))}]}))
    )

    assert written.count("enum") == 1
