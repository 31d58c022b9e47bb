"""Grammars as OpenVINO takes them: what `StructuredOutputConfig` holds a text to. xgrammar compiles it."""

import json
from collections import deque
from functools import lru_cache
from typing import Any

import openvino_genai as genai

from deployments.generation import Prompt
from deployments.generation.grammar import FatalGrammarError, Grammar, GrammarError, JsonGrammar, TagGrammar
from deployments.generation.xgrammar_schema import MAX_BYTES, write_schema

_MOST_SUSPECTS = 64


def check_grammar(grammar: Grammar, prompt: Prompt) -> None:
    """Raise `GrammarError` if OpenVINO cannot hold the answer to `prompt` to `grammar`. Takes milliseconds.

    OpenVINO begins a grammar with the first token that it writes: a JSON text that somebody else has begun cannot be
    continued. Free text can, as the tags in it have a beginning of their own.
    """
    if isinstance(grammar, JsonGrammar) and prompt.prefix.strip():
        raise GrammarError("the engine cannot continue a JSON text that has been begun")
    _structural_tag(grammar)


def structured_output(grammar: Grammar) -> Any:
    """What holds a text to `grammar`, which `check_grammar` has accepted."""
    config = genai.StructuredOutputConfig()
    config.structural_tags_config = _structural_tag(grammar)
    return config


class SuspectGrammars:
    """Grammars that OpenVINO may have failed to compile: it raises within a step, and ends all of the batch.

    `xgrammar_schema` lets none through that is known to fail. If one fails all the same, it fails once. Those are
    suspected that are new since the last step that went well; where none is, those whose text has not begun, as a
    grammar is compiled when its request is first scheduled.
    """

    def __init__(self) -> None:
        """Suspect none."""
        self._new: dict[int, Grammar] = {}
        self._waiting: dict[int, Grammar] = {}
        self._suspects: deque[Grammar] = deque(maxlen=_MOST_SUSPECTS)

    def check(self, grammar: Grammar) -> None:
        """Raise `FatalGrammarError` if a step has failed with `grammar`."""
        if grammar in self._suspects:
            raise FatalGrammarError

    def watch(self, number: int, grammar: Grammar) -> None:
        """Note that the request `number` has been added, with `grammar`."""
        self._new[number] = grammar

    def forget(self, number: int) -> None:
        """Note that the request `number` has begun its text, or has left. Does nothing for one that is not watched."""
        self._new.pop(number, None)
        self._waiting.pop(number, None)

    def step_went_well(self) -> None:
        """A step has not raised."""
        if self._new:
            self._waiting |= self._new
            self._new = {}

    def step_failed(self) -> None:
        """A step has raised."""
        failed = self._new or self._waiting
        self._suspects.extend(dict.fromkeys(failed.values()))
        self._new, self._waiting = {}, {}

    @property
    def watched(self) -> int:
        """Requests that are watched."""
        return len(self._new) + len(self._waiting)


@lru_cache(maxsize=128)
def _structural_tag(grammar: Grammar) -> str:
    """The grammar as xgrammar's structural tag, which is JSON."""
    return json.dumps({"type": "structural_tag", "format": _format(grammar)})


def _format(grammar: Grammar) -> dict[str, Any]:
    if isinstance(grammar, JsonGrammar):
        return _json_schema(grammar.schema)
    tags = [
        {"type": "tag", "begin": tag.begin, "content": _json_schema(tag.schema), "end": tag.end} for tag in grammar.tags
    ]
    if (size := len(json.dumps(tags))) > MAX_BYTES:
        raise GrammarError(f"the tags are too large for the engine: {size} bytes; accepted: {MAX_BYTES}")
    return {
        "type": "triggered_tags",
        "triggers": _shortest(grammar),
        "tags": tags,
        "at_least_one": grammar.at_least_one,
        "stop_after_first": grammar.stop_after_first,
    }


def _json_schema(schema: str) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": write_schema(schema)}


def _shortest(grammar: TagGrammar) -> list[str]:
    """The triggers that no other trigger begins: xgrammar takes tags that one trigger opens, and no more."""
    triggers = dict.fromkeys(grammar.triggers)
    return [each for each in triggers if not any(each != other and each.startswith(other) for other in triggers)]
