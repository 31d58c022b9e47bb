"""Reads a Dockerfile, as far as deploy/Dockerfile goes: stages, instructions, variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_COMMENT = re.compile(r"^\s*#")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_FROM = re.compile(r"^(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word in capitals, and what stands behind it with the lines joined."""

    word: str
    text: str


@dataclass(slots=True)
class Stage:
    """What stands between one FROM and the next.

    Attributes:
        base: an image, or the name of another stage; variables are filled in.
        name: its own; empty where it has none.
        instructions: the rest, in order.
    """

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


def instructions_of(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, in order."""
    lines = (line for line in text.splitlines() if line.strip() and not _COMMENT.match(line))
    joined = ""
    for line in lines:
        joined += line.removesuffix("\\").strip() + " "
        if line.endswith("\\"):
            continue
        word, _, rest = joined.strip().partition(" ")
        yield Instruction(word.upper(), rest.strip())
        joined = ""


def read_stages(text: str, arguments: Mapping[str, str]) -> tuple[list[Stage], dict[str, str]]:
    """The stages of a Dockerfile, and the arguments before the first of them, of which `arguments` replace some."""
    stages: list[Stage] = []
    given: dict[str, str] = {}
    for found in instructions_of(text):
        if found.word == "FROM":
            match = _FROM.match(filled(found.text, given))
            if match is None:
                raise ValueError(f"FROM {found.text}: not understood")
            stages.append(Stage(match["base"], match["name"] or ""))
        elif stages:
            stages[-1].instructions.append(found)
        elif found.word == "ARG":
            name, value = argument(found.text)
            given[name] = arguments.get(name, value)
        else:
            raise ValueError(f"{found.word} before the first FROM")
    return stages, given


def argument(text: str) -> tuple[str, str]:
    """The name and the default of an ARG; without one, an empty text."""
    name, _, value = text.partition("=")
    return name, value.strip("\"'")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the values of the variables that it names; one that is unknown is empty."""
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)


def words(text: str) -> list[str]:
    """The words of an instruction in its JSON form.

    Raises:
        ValueError: it is in the form for a shell.
    """
    found = json.loads(text)
    if not isinstance(found, list):
        raise TypeError(f"{text}: not a list")
    return [str(word) for word in found]
