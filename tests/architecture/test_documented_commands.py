"""The commands that the documents name, as tests: each is there, with its options, and so is each target of make."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from deployments.cli import app
from tests.architecture.test_documents import CODE, DOCUMENTS, FENCE, text_of

PROGRAM = "neverblank"
OPTION = re.compile(r"--[a-z][a-z-]*")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
SHELL = re.compile(r"^```(?:console|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_in(document: str) -> Iterator[list[str]]:
    """The words of every command that a document names: as code, or as a line of a shell."""
    text = text_of(document)
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line.strip().removeprefix("$ "), comments=True)
    for code in CODE.findall(FENCE.sub("", text)):
        if code.startswith((f"{PROGRAM} ", "make ")):
            yield code.split()


def program(words: list[str]) -> str:
    return words[0].removeprefix(".venv/bin/") if words else ""


def unknown_in(words: list[str]) -> list[str]:
    """What of `neverblank …` is no command, and no option of the command."""
    command: Any = get_command(app)
    rest = list(words)
    while (known := getattr(command, "commands", None)) is not None and rest and not rest[0].startswith("-"):
        if rest[0] not in known:
            return [rest[0]]
        command = known[rest.pop(0)]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return [option for word in rest for option in OPTION.findall(word.partition("=")[0]) if option not in options]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_a_document_names_exists_with_its_options(document: str) -> None:
    found = [words for words in commands_in(document) if program(words) == PROGRAM]

    assert [(" ".join(words), unknown) for words in found if (unknown := unknown_in(words[1:]))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_of_make_a_document_names_exists(document: str) -> None:
    targets = set(TARGET.findall(text_of("Makefile")))
    named = {
        word
        for words in commands_in(document)
        if program(words) == "make"
        for word in words[1:]
        if re.fullmatch(r"[a-z][a-z-]*", word)
    }

    assert named - targets == set()


@pytest.mark.parametrize("words", [["statuss"], ["status", "--wach"], ["key", "make"], ["snapshot", "prune", "--all"]])
def test_a_command_or_an_option_that_is_not_there_is_found(words: list[str]) -> None:
    assert unknown_in(words) == [words[-1]]
