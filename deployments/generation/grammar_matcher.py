"""Holds what transformers writes to a grammar: masks of the tokens that may come next, by llguidance.

A grammar is compiled in milliseconds, in the thread that asks for it and without the interpreter's lock; llguidance
bounds its size, and the work for each token. The compiled ones are kept, within bounds of their number and size. JSON
is written without white space between its parts: a small model that may write it often writes nothing else.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Self

import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor

from deployments.generation.grammar import (
    MAX_CHARACTERS,
    Grammar,
    GrammarError,
    JsonGrammar,
    JsonOrTagsGrammar,
    TagGrammar,
)

KEPT = 64
"""Compiled grammars that are kept."""

KEPT_CHARACTERS = 1 << 20
"""Characters of all grammars that are kept."""

_LIMITS = LLParserLimits(initial_lexer_fuel=1_000_000, step_lexer_fuel=200_000, step_max_items=20_000)
"""Of the work to compile a grammar (20 ms), and of that for one token (15 ms)."""

_LONGEST_REASON = 200


class TokenMatcher:
    """Follows one text and says which tokens may come next. Every thread may use it.

    The engine's thread follows while others look for a fault, and llguidance's matcher raises where two do so at once.
    """

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        """Follow with `matcher`, which nobody else uses; `vocabulary` is the width of the model's logits."""
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._read = 0
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> Self:
        """The matcher itself: transformers copies a request's arguments where it begins the request anew."""
        return self

    @property
    def fault(self) -> str:
        """Why the text cannot be followed any more; empty while it can."""
        with self._lock:
            return self._matcher.get_error()[:_LONGEST_REASON] if self._matcher.is_error() else ""

    def advance(self, written: Sequence[int]) -> None:
        """Read what is new in `written`, the tokens of the text so far."""
        with self._lock:
            new, self._read = list(written[self._read :]), len(written)
            if new and not self._matcher.is_stopped():
                self._matcher.consume_tokens(new)

    def allowed(self) -> torch.Tensor:
        """Which tokens may come next: shape [vocabulary], bool. Where there is a fault, all: the text is given up."""
        with self._lock:
            if self._matcher.is_error():
                return torch.ones(self._vocabulary, dtype=torch.bool)
            bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (bits.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8) & 1).flatten()[: self._vocabulary].bool()
        missing = self._vocabulary - allowed.numel()
        return torch.nn.functional.pad(allowed, (0, missing)) if missing else allowed


class GrammarCompiler:
    """Compiles grammars for one model, and keeps them. Every thread may use it."""

    def __init__(self, tokenizer: Any, vocabulary: int, end_tokens: Sequence[int]) -> None:
        """Compile for a model.

        Args:
            tokenizer: its tokenizer, a fast one.
            vocabulary: the width of its logits.
            end_tokens: the tokens that end a text.
        """
        self._source, self._vocabulary, self._end_tokens = tokenizer, vocabulary, list(end_tokens)
        self._tokenizer: LLTokenizer | None = None
        self._kept: OrderedDict[tuple[Grammar, bool], LLMatcher | GrammarError] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, grammar: Grammar, prefix: str = "") -> TokenMatcher:
        """Begin a text that continues `prefix`. Blocks while the grammar is compiled; the first time, for seconds.

        Raises:
            GrammarError: the text cannot be held to `grammar`, or `prefix` does not fit it.
        """
        begun = prefix.rstrip()
        with self._lock:
            matcher = self._compiled(grammar, is_continued=bool(begun)).deep_copy()
            tokenizer = self._with_tokenizer()
        if begun:
            tokens = tokenizer.tokenize_str(begun)
            if matcher.try_consume_tokens(tokens) < len(tokens):
                raise GrammarError("the text that is to be continued does not fit the form that is demanded")
        return TokenMatcher(matcher, self._vocabulary)

    def _compiled(self, grammar: Grammar, *, is_continued: bool) -> LLMatcher:
        if grammar.size > MAX_CHARACTERS:
            raise GrammarError(f"the form is too large: {grammar.size} characters; accepted: {MAX_CHARACTERS}")
        key = (grammar, is_continued)
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._compile(grammar, spaced=is_continued)
            while len(self._kept) > KEPT or sum(each.size for each, _ in self._kept) > KEPT_CHARACTERS:
                self._kept.popitem(last=False)
        known = self._kept[key]
        if isinstance(known, GrammarError):
            raise GrammarError(str(known))
        return known

    def _compile(self, grammar: Grammar, *, spaced: bool) -> LLMatcher | GrammarError:
        try:
            written = _written(grammar, spaced=spaced)
        except GrammarError as error:
            return error.with_traceback(None)
        matcher = LLMatcher(self._with_tokenizer(), written, log_level=0, limits=_LIMITS)
        return GrammarError(" ".join(matcher.get_error().split())[:_LONGEST_REASON]) if matcher.is_error() else matcher

    def _with_tokenizer(self) -> LLTokenizer:
        if self._tokenizer is None:
            self._tokenizer = from_tokenizer(self._source, n_vocab=self._vocabulary, eos_token=self._end_tokens or None)
        return self._tokenizer


class HoldToGrammar(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Lets a single request write what its grammar allows: to be the first of its processors."""

    def __init__(self, matcher: TokenMatcher, prompt_tokens: int) -> None:
        """Follow with `matcher` what is written behind `prompt_tokens`."""
        self._matcher, self._prompt_tokens = matcher, prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Leave the logits of the tokens that may come next, and make the others impossible."""
        self._matcher.advance(input_ids[0, self._prompt_tokens :].tolist())
        return scores.masked_fill(~self._matcher.allowed().to(scores.device), -torch.inf)


def _written(grammar: Grammar, *, spaced: bool) -> str:
    """The grammar in llguidance's own form; `spaced` allows white space in JSON, as others write it."""
    if isinstance(grammar, JsonGrammar):
        return LLMatcher.grammar_from_json_schema(_schema(grammar.schema, spaced=spaced))
    if isinstance(grammar, JsonOrTagsGrammar):
        return _either(grammar, spaced=spaced)
    return _lark(grammar, spaced=spaced)


def _schema(text: str, *, spaced: bool) -> str:
    """The schema `text` with llguidance's options; what it does not know it leaves out, and the judge checks it."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"the schema is no JSON: {type(error).__name__}") from error
    if not isinstance(schema, dict):
        raise GrammarError("the schema is no JSON object")
    return json.dumps({**schema, "x-guidance": {"whitespace_flexible": spaced, "lenient": True}})


def _either(grammar: JsonOrTagsGrammar, *, spaced: bool) -> str:
    """A value, or tags on lines of their own, in llguidance's Lark."""
    lines = [f"value: %json {_schema(grammar.json.schema, spaced=spaced)}"]
    for place, tag in enumerate(grammar.tags):
        value = f"%json {_schema(tag.schema, spaced=spaced)}"
        lines.append(f"tag_{place}: {json.dumps(tag.begin)} {value} {json.dumps(tag.end) if tag.end else ''}")
    tags = " | ".join(f"tag_{place}" for place in range(len(grammar.tags)))
    more = "" if grammar.one_tag else f' ("\\n" ({tags}))*'
    return "\n".join(["%llguidance {}", f"start: value | ({tags}){more}", *lines])


def _lark(grammar: TagGrammar, *, spaced: bool) -> str:
    """Tags in llguidance's Lark. A trigger is a lazy lexeme: it ends free text as soon as it is written."""
    lines = ["tail: TEXT", r"TEXT: /(.|\n)*/"]
    for place, tag in enumerate(grammar.tags):
        trigger = next(each for each in grammar.triggers if tag.begin.startswith(each))
        value = " ".join((f"%json {_schema(tag.schema, spaced=spaced)}", json.dumps(tag.end) if tag.end else ""))
        rest = tag.begin.removeprefix(trigger)
        lines += [
            f"tag_{place}: {json.dumps(tag.begin)} {value}",
            f"begun_{place}[lazy]: TEXT {json.dumps(trigger)}",
            f"call_{place}: begun_{place} {json.dumps(rest) if rest else ''} {value}",
        ]
    tags = " | ".join(f"tag_{place}" for place in range(len(grammar.tags)))
    calls = " | ".join(f"call_{place}" for place in range(len(grammar.tags)))
    match grammar.at_least_one, grammar.stop_after_first:
        case True, True:
            start = tags
        case True, False:
            start = f"({tags}) ({calls})* tail"
        case False, True:
            start = f"{calls} | tail"
        case _:
            start = f"({calls})* tail"
    return "\n".join(["%llguidance {}", f"start: {start}", *lines])
