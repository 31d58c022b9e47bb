"""Reads one choice of a completion, from its deltas or from its whole message.

A finish reason is an end, and behind an end nothing is read. One that comes together with content may come with every
content, though (gateways in front of Gemini do so): where content follows such a reason, the reason was none. Where it
comes with the first content already, content may follow after any pause, so that the end is that of the stream.
"""

from collections.abc import Collection, Mapping
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.extras import OUTPUT_ITEMS, Extras, fields_beside, is_flat, join_pieces, merge_all
from deployments.policy.outcome import StreamPart
from deployments.upstream.contents import Content, calls_within, read_content
from deployments.upstream.decoding import Surrogates
from deployments.upstream.finish import ENDINGS, Ending, ending_of
from deployments.upstream.text_form import chat_logprobs
from deployments.upstream.thinking import ThoughtSplitter
from deployments.upstream.tool_calls import ToolCalls

_OF_CHOICE = frozenset(
    {"index", "delta", "message", "text", "finish_reason", "finishReason", "done_reason", "error", "usage", "logprobs"}
)
_CALLS = (("tool_calls", "toolCalls"), ("function_call", "functionCall"))
"""The names of the fields with calls; of those that mean the same, the first one counts."""

_REASONS = ("finish_reason", "finishReason", "done_reason")
_OF_MESSAGE = frozenset(
    {"role", "content", "refusal", "text", "stop_reason", *_REASONS, *(name for names in _CALLS for name in names)}
)
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_PLAIN_DELTA = frozenset({"role", "content"})
_THOUGHTS = (
    *("reasoning_content", "reasoning", "reasoning_details", "reasoning_text", "thinking"),
    *("thinking_blocks", "reasoning_items", OUTPUT_ITEMS),
)
_MOST_STRIPPED = 64
"""Characters of white space that a message may lack at its edges and yet repeat the deltas before it."""

_ALIVE = ""
"""A sign of life: the model is at work on something that has no text yet."""


class ChoiceReader:
    """Reads one choice.

    Attributes:
        calls: its tool calls.
        ending: what its finish reason means, so far.
        word: that reason in its provider's words.
        error: the error object in it; empty where there is none.
        refused: its text is a refusal.
        reasoned: it has reasoning.
        skipped: pieces behind its end, or that could not be read.
        fields: what stands beside its message, `logprobs` aside, part by part.
    """

    def __init__(
        self, tools: Collection[str] = (), *, has_thoughts: bool = True, asked_for: Collection[str] = ()
    ) -> None:
        """Begin without anything; arguments as of `ChunkReader`."""
        self.calls = ToolCalls(tools)
        self.ending = Ending.NOT_AN_END
        self.word = ""
        self.error: Mapping[str, Any] = {}
        self.refused = False
        self.reasoned = False
        self.has_text = False
        self.fields: list[dict[str, Any]] = []
        self._skipped = 0
        self._texts: list[str] = []
        self._surrogates = Surrogates()
        self._thoughts = ThoughtSplitter(splits=has_thoughts, asked_for=asked_for)
        self._apart = False  # reasoning has come in a field of its own
        self._calls_in_parts = False  # its calls are parts of its content
        self._by_message = False
        self._messages = 0
        self._length = 0
        self._is_bare = False  # the finish reason came without content, or with a whole message
        self._has_begun = False
        self._is_early = False  # the finish reason came with the first content
        self._repeats = False  # finish reasons come with every content, and mean nothing

    @property
    def skipped(self) -> int:
        """Pieces that were left out."""
        return self._skipped + self.calls.skipped

    @property
    def has_content(self) -> bool:
        """Whether there is something to answer with."""
        return self.has_text or bool(self.calls)

    @property
    def is_usable(self) -> bool:
        """Whether the caller can use it, as a choice behind the first: by the rules for that one, but it may be cut."""
        if self.error or self.ending is Ending.FAILED or (self.calls and self.calls.fault()):
            return False
        return self.has_content or self.refused or self.ending is Ending.WITHHELD

    @property
    def has_ended(self) -> bool:
        """Whether its end has come, as far as can be told: more may follow for a moment only."""
        if self.ending is Ending.NOT_AN_END or self.is_unsure:
            return False
        if self.ending is Ending.FAILED:
            return True
        if self._is_early and not self._is_bare:
            return False
        return self.has_content or (self._is_bare and self.reasoned)

    @property
    def is_unsure(self) -> bool:
        """Whether its end is one of those that come with every content, so that it may have been cut there."""
        return self._repeats and not self._is_bare

    def feed(self, choice: Mapping[str, Any]) -> list[StreamPart]:
        """Read the next part of the choice, and return its texts and what stands beside them."""
        if plain := self._plain(choice):
            return [plain]
        if choice.get("error"):
            self.error = {"error": choice["error"]}
            return []
        message = self._message(choice)
        content, calls, extras = self._contents(message)
        ending, word = ending_of(choice if _has_reason(choice) else _with_reason(choice, message))
        has_content = bool(any(content) or calls or extras)
        if fields := fields_beside(choice, _OF_CHOICE):
            self.fields.append(fields)
        if self.has_ended and self._is_bare and not self._repeats:
            self._skipped += bool(any(content) or calls)
            return [Extras(message=extras)] if extras else []
        if has_content:
            self._repeats = self._repeats or self.ending is not Ending.NOT_AN_END
            self._is_early = ending is not Ending.NOT_AN_END and not self._has_begun
            self._has_begun = True
            self.ending, self.word, self._is_bare = ending, word, self._by_message  # a message is whole
        elif ending is not Ending.NOT_AN_END:
            self.ending, self.word, self._is_bare = ending, word, True
        return self._parts(choice, content, calls, extras)

    def finish(self) -> list[StreamPart]:
        """Return what was held back, once nothing more comes."""
        if self.ending is Ending.NOT_AN_END and self._by_message and self._messages == 1:
            self.ending = Ending.COMPLETE  # a message is whole
        thoughts, text = self._thoughts.feed(self._surrogates.finish(), apart=self._apart)
        more_thoughts, more_text = self._thoughts.finish()
        return self._said(thoughts + more_thoughts, text + more_text)

    def to_json(self, index: int, parts: list[StreamPart]) -> dict[str, Any]:
        """Return the whole choice in OpenAI's form, made of all its `parts`."""
        extras = [part for part in parts if isinstance(part, Extras)]
        text = "".join(part for part in parts if isinstance(part, str))
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if self.refused:
            message |= {"content": None, "refusal": text}
        if self.calls:
            message["tool_calls"] = list(self.calls.to_json())
        message |= join_pieces([part.message for part in extras])
        logprobs = join_pieces([part.choice["logprobs"] for part in extras if "logprobs" in part.choice])
        reason = self.ending.value if self.ending not in {Ending.FAILED, Ending.NOT_AN_END} else Ending.CUT.value
        if self.calls and self.ending is Ending.COMPLETE:
            reason = "tool_calls"
        return {
            **merge_all(self.fields),
            "index": index,
            "message": message,
            "finish_reason": reason,
            "logprobs": logprobs or None,
        }

    def _plain(self, choice: Mapping[str, Any]) -> str:
        """Return the text of nearly every part: a delta with nothing but text, in the midst of an answer."""
        delta = choice.get("delta")
        if not self.is_amid or not isinstance(delta, dict):
            return ""
        if not (choice.keys() <= _PLAIN_CHOICE and delta.keys() <= _PLAIN_DELTA):
            return ""
        text = delta.get("content")
        if not isinstance(text, str) or choice.get("finish_reason") or choice.get("logprobs"):
            return ""
        return text if self.take(text) else ""

    @property
    def is_amid(self) -> bool:
        """Whether a delta with nothing but text is passed on as it is: there is text, no end, and no more thoughts."""
        return self.has_text and self.ending is Ending.NOT_AN_END and self._thoughts.is_behind

    def take(self, text: str) -> bool:
        """Take the text of a delta that has nothing else, where `is_amid`; return whether it is passed on as it is."""
        if not self._surrogates.is_idle_at(text):
            return False
        self._by_message = False
        self._texts.append(text)
        self._length += len(text)
        return True

    def _message(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the delta or the message of a choice; a text where the message should be is its content."""
        for key in ("delta", "message"):
            value = choice.get(key)
            if isinstance(value, str):
                value = {"content": value}
            if isinstance(value, dict) and value:
                self._by_message = key == "message"
                self._messages += self._by_message
                return value
        if choice.get("text"):
            self._by_message = False
            return {"content": choice["text"]}
        return {}

    def _contents(self, message: Mapping[str, Any]) -> tuple[Content, list[Any], dict[str, Any]]:
        """Return the content of a message, its lists of tool calls, and what stands beside both."""
        content = read_content(message.get("content"))
        if not content.text and "content" not in message and isinstance(message.get("text"), str):
            content = content._replace(text=message["text"])
        refusal = content.refusal or read_content(message.get("refusal")).text
        if self._by_message and content.text:
            content = content._replace(text=self._new(content.text))
        extras = fields_beside(message, _OF_MESSAGE)
        if content.thoughts:
            extras["reasoning_content"] = extras.get("reasoning_content") or content.thoughts
        self._apart = self._apart or any(extras.get(key) for key in _THOUGHTS)
        told = [next((message[key] for key in names if message.get(key)), None) for names in _CALLS]
        calls = [each for each in told if each]
        if not calls and (not self.calls or self._calls_in_parts) and isinstance(message.get("content"), (list, dict)):
            calls = [found] if (found := calls_within(message["content"])) else []
            self._calls_in_parts = self._calls_in_parts or bool(calls)
        return Content(content.text, "", refusal), calls, extras

    def _new(self, text: str) -> str:
        """Return what a message adds: one within a stream may repeat all of the text so far, the last one stripped."""
        if not self._length or len(text) + _MOST_STRIPPED < self._length:
            return text
        before = "".join(self._texts)
        if self._messages == 1 and text.strip() == before.strip():
            return ""
        return text.removeprefix(before)

    def _parts(
        self, choice: Mapping[str, Any], content: Content, calls: list[Any], extras: dict[str, Any]
    ) -> list[StreamPart]:
        parts: list[StreamPart] = []
        beside: dict[str, Any] = {}
        if isinstance(choice.get("logprobs"), dict) and choice["logprobs"] and is_flat(choice["logprobs"]):
            beside = {"logprobs": chat_logprobs(choice["logprobs"])}
        if extras or beside:
            self.reasoned = self.reasoned or any(extras.get(key) for key in _THOUGHTS)
            parts.append(Extras(choice=beside, message=extras))
        text = content.text
        if content.refusal and (self.refused or not is_blank(content.refusal)):
            said = "" if content.text.strip() == content.refusal.strip() else content.text
            between = "\n\n" if said or (self._length and not self.refused) else ""
            self.refused, text = True, said + between + content.refusal
        if content.text:
            self._texts.append(content.text)
            self._length += len(content.text)
        if text:
            thoughts, shown = self._thoughts.feed(self._surrogates.feed(text), apart=self._apart)
            parts += self._said(thoughts, shown)
            if not parts:
                parts.append(_ALIVE)
        found = [self.calls.add(each, whole=self._by_message and isinstance(each, list)) for each in calls]
        if any(found):
            parts.append(_ALIVE)
        return parts

    def _said(self, thoughts: str, text: str) -> list[StreamPart]:
        parts: list[StreamPart] = []
        if thoughts:
            self.reasoned = True
            parts.append(Extras(message={"reasoning_content": thoughts}))
        if text:
            self.has_text = self.has_text or not is_blank(text)
            parts.append(text)
        return parts


def _has_reason(choice: Mapping[str, Any]) -> bool:
    return any(choice.get(key) is not None for key in _REASONS)


def _with_reason(choice: Mapping[str, Any], message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a choice without a finish reason with the one that stands elsewhere: in its delta, or as a stop reason.

    The latter has to be a word for an end: of vLLM it is the text or the token that ended the answer.
    """
    reason = next((message[key] for key in _REASONS if message.get(key) is not None), None)
    for stop in (choice.get("stop_reason"), message.get("stop_reason")):
        if reason is None and isinstance(stop, str) and stop.lower() in ENDINGS:
            reason = stop
    return choice if reason is None else {**choice, "finish_reason": reason}
