"""Grammars as OpenVINO takes them: what `StructuredOutputConfig` holds a text to. xgrammar compiles it."""

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

import openvino_genai as genai

from deployments.generation import Prompt
from deployments.generation.grammar import (
    MAX_CHARACTERS,
    FatalGrammarError,
    Grammar,
    GrammarError,
    JsonGrammar,
    JsonOrTagsGrammar,
    Tag,
    TagGrammar,
)
from deployments.generation.xgrammar_schema import MAX_BYTES, write_schema

_MOST_SUSPECTS = 64
_MOST_COMPILED = 256


class WrittenGrammars:
    """Grammars as xgrammar's structural tags, which are JSON, and those that cannot be: both are kept within bounds.

    To write a large one takes 0.4 s. Every thread may use this.
    """

    def __init__(self, most: int = 128, most_characters: int = 1 << 20) -> None:
        """Keep at most `most`, with at most `most_characters` in all of their schemas."""
        self._most, self._most_characters = most, most_characters
        self._kept: OrderedDict[Grammar, str | GrammarError] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def knows(self, grammar: Grammar) -> bool:
        """Whether `of` answers at once."""
        return grammar in self._kept

    def of(self, grammar: Grammar) -> str:
        """Return the tag of `grammar`, from memory or written now.

        Raises:
            GrammarError: OpenVINO cannot hold a text to it.
        """
        if grammar.size > MAX_CHARACTERS:
            raise GrammarError(f"the form is too large: {grammar.size} characters; accepted: {MAX_CHARACTERS}")
        with self._lock:
            if (known := self._kept.get(grammar)) is not None:
                self._kept.move_to_end(grammar)
        if known is None:
            known = _write(grammar)
            self._keep(grammar, known)
        if isinstance(known, GrammarError):
            raise GrammarError(str(known))
        return known

    def _keep(self, grammar: Grammar, written: str | GrammarError) -> None:
        with self._lock:
            if grammar not in self._kept:
                self._characters += grammar.size
            self._kept[grammar] = written
            while len(self._kept) > self._most or self._characters > self._most_characters:
                self._characters -= self._kept.popitem(last=False)[0].size


WRITTEN = WrittenGrammars()
"""Those of this process."""


def check_grammar(grammar: Grammar, prompt: Prompt) -> None:
    """Raise `GrammarError` if OpenVINO cannot hold the answer to `prompt` to `grammar`.

    Blocks for up to half a second unless `WRITTEN` knows the grammar. OpenVINO begins a grammar with the first token
    that it writes: a JSON text that somebody else has begun cannot be continued. Free text can, as the tags in it have
    a beginning of their own.
    """
    if not isinstance(grammar, TagGrammar) and prompt.prefix.strip():
        raise GrammarError("the engine cannot continue a JSON text that has been begun")
    WRITTEN.of(grammar)


def structured_output(grammar: Grammar) -> Any:
    """What holds a text to `grammar`, which `check_grammar` has accepted."""
    config = genai.StructuredOutputConfig()
    config.structural_tags_config = WRITTEN.of(grammar)
    return config


class SuspectGrammars:
    """Grammars that OpenVINO may have failed to compile: it raises within a step, and ends all of the batch.

    `xgrammar_schema` lets none through that is known to fail. If one fails all the same, it fails once. Those are
    suspected that are new since the last step that went well; where none is, those whose text has not begun, as a
    grammar is compiled when its request is first scheduled. One with which a text has begun before is none of them.
    """

    def __init__(self) -> None:
        """Suspect none."""
        self._new: dict[int, Grammar] = {}
        self._waiting: dict[int, Grammar] = {}
        self._suspects: deque[Grammar] = deque(maxlen=_MOST_SUSPECTS)
        self._compiled: deque[Grammar] = deque(maxlen=_MOST_COMPILED)

    def check(self, grammar: Grammar) -> None:
        """Raise `FatalGrammarError` if a step has failed with `grammar`."""
        if grammar in self._suspects:
            raise FatalGrammarError

    def watch(self, number: int, grammar: Grammar) -> None:
        """Note that the request `number` has been added, with `grammar`."""
        self._new[number] = grammar

    def begun(self, number: int) -> None:
        """Note that the request `number` has begun its text."""
        grammar = self._new.get(number) or self._waiting.get(number)
        if grammar is not None and grammar not in self._compiled:
            self._compiled.append(grammar)
        self.forget(number)

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
        self._suspects.extend(each for each in dict.fromkeys(failed.values()) if each not in self._compiled)
        self._new, self._waiting = {}, {}

    @property
    def watched(self) -> int:
        """Requests that are watched."""
        return len(self._new) + len(self._waiting)


def _write(grammar: Grammar) -> str | GrammarError:
    """The grammar as a structural tag, or why it cannot be one."""
    try:
        return json.dumps({"type": "structural_tag", "format": _format(grammar)})
    except GrammarError as error:
        return error.with_traceback(None)


def _format(grammar: Grammar) -> dict[str, Any]:
    if isinstance(grammar, JsonGrammar):
        return _json_schema(grammar.schema)
    tags = [_tag(tag) for tag in grammar.tags]
    value = [_tag(Tag("", grammar.json.schema, ""))] if isinstance(grammar, JsonOrTagsGrammar) else []
    if (size := len(json.dumps(tags + value))) > MAX_BYTES:
        raise GrammarError(f"the tags are too large for the engine: {size} bytes; accepted: {MAX_BYTES}")
    if isinstance(grammar, JsonOrTagsGrammar):
        # Both in the same form: xgrammar chooses between forms that end by themselves, or between others.
        return {"type": "or", "elements": [_lines(tags, one=grammar.one_tag), _lines(value, one=True)]}
    return {
        "type": "triggered_tags",
        "triggers": _shortest(grammar),
        "tags": tags,
        "at_least_one": grammar.at_least_one,
        "stop_after_first": grammar.stop_after_first,
    }


def _tag(tag: Tag) -> dict[str, Any]:
    return {"type": "tag", "begin": tag.begin, "content": _json_schema(tag.schema), "end": tag.end}


def _lines(tags: Sequence[dict[str, Any]], *, one: bool) -> dict[str, Any]:
    form = {"type": "tags_with_separator", "separator": "\n", "at_least_one": True, "stop_after_first": one}
    return {**form, "tags": list(tags)}


def _json_schema(schema: str) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": write_schema(schema)}


def _shortest(grammar: TagGrammar) -> list[str]:
    """The triggers that no other trigger begins: xgrammar takes tags that one trigger opens, and no more."""
    triggers = dict.fromkeys(grammar.triggers)
    return [each for each in triggers if not any(each != other and each.startswith(other) for other in triggers)]
