"""What an answer has beside its text in the words of the format that both its model and its caller speak.

Parts that have no place in a chat (items of tools that a provider runs, citations within blocks) come to a caller of
the same format as they were written: see `policy.extras`. They are given only where they say what the answer says:
where several models have written it, or it was changed on its way, it is put together anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployments.http.beside import written_text
from deployments.policy.answer import Answer
from deployments.policy.extras import OUTPUT_ITEMS, WRITTEN_OUTPUT, Extras


def written_of(answer: Answer, text_of: Mapping[str, str], calls: frozenset[str]) -> list[dict[str, Any]]:
    """Return the parts of an answer as its model wrote them; none where they are not told, or say something else.

    Args:
        answer: the answer.
        text_of: the kinds of parts that have text, each with the field of it: a text, or a list of such parts.
        calls: the kinds of parts that are tool calls.
    """
    told = answer.extras.body.get(WRITTEN_OUTPUT)
    if not isinstance(told, list) or not all(isinstance(part, Mapping) for part in told):
        return []
    parts = [dict(part) for part in told]
    says_the_same = _squeezed("".join(_texts(parts, text_of))) == _squeezed(written_text(answer))
    named = [call for call in answer.tool_calls if "item" not in call]
    return parts if says_the_same and sum(part.get("type") in calls for part in parts) == len(named) else []


def items_of(extras: Extras) -> list[tuple[str, dict[str, Any]]]:
    """Return the items in what came beside a text, each with `added` where it begins, and `done` where it is whole."""
    told = extras.message.get(OUTPUT_ITEMS)
    return [
        (stage, dict(part[stage]))
        for part in (told if isinstance(told, list) else ())
        for stage in ("added", "done")
        if isinstance(part, Mapping) and isinstance(part.get(stage), Mapping)
    ]


def _texts(parts: Sequence[Mapping[str, Any]], text_of: Mapping[str, str]) -> Iterator[str]:
    for part in parts:
        value = part.get(text_of.get(str(part.get("type")), ""))
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts([each for each in value if isinstance(each, Mapping)], text_of)


def _squeezed(text: str) -> str:
    return "".join(text.split())
