"""The requests of a world: every format, whole and streamed, with every wish of a caller, some malformed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

NATIVE, CHAT, COMPLETION, MESSAGES, RESPONSES = "native", "chat", "completion", "messages", "responses"
OF_TURNS = frozenset({CHAT, MESSAGES, RESPONSES})

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_LOOK = {"name": "look", "parameters": {"type": "object", "properties": {}}}
LOOK = {"type": "function", "function": _LOOK}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}

_MALFORMED: tuple[Any, ...] = (
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    {},
    {"text": ""},
    {"text": "x", "timeout": "soon"},
    {"text": "x", "timeout": -1},
    {"text": "x", "stream": "yes"},
    {"messages": [{"role": "king", "content": "x"}], "prompt": 7},
    {"messages": [], "prompt": []},
    {"text": "x", "tiers": [], "messages": [{"role": "user", "content": "x"}], "prompt": "x"},
)
"""Nobody's format; each is a 4xx on every path."""


@dataclass(slots=True)
class Ask:
    """One request.

    Attributes:
        token: stands in its text, and tells it apart from all others; with several prompts each has its own.
        at: when it is sent.
        style: its format.
        path: where it is sent.
        body: as it is sent.
        headers: as they are sent.
        stream: a stream is asked for.
        timeout_s: its deadline.
        form: the form that is demanded: `json`, `schema` or `tool`; empty where any text will do.
        prompts: how many answers it wants.
        include_usage: a stream is to tell its token counts.
        valid: it can be understood.
        pieces: the body in pieces, with the pause before each.
        leaves_after_s: the caller goes away after so long; `None` where it waits for the answer.
        reads_every_s: the caller of a stream is slow: it pauses so long behind each piece.
    """

    token: str
    at: float
    style: str
    path: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]]
    stream: bool
    timeout_s: float
    form: str = ""
    prompts: int = 1
    include_usage: bool = False
    valid: bool = True
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    leaves_after_s: float | None = None
    reads_every_s: float = 0.0
    method: str = "POST"

    @property
    def tokens(self) -> list[str]:
        """One for each answer that it wants."""
        return [self.token] if self.prompts == 1 else [f"{self.token}p{place}" for place in range(self.prompts)]


@dataclass(frozen=True, slots=True)
class Habits:
    """How the callers of a world are.

    Attributes:
        models: what they ask for; empty for no name at all.
        timeouts_s: the deadlines that they set.
        plain: they ask in the simplest way, and nothing else.
        streams: they always ask for a stream.
    """

    models: tuple[str, ...]
    timeouts_s: tuple[float, ...]
    plain: bool = False
    streams: bool = False


def draw_ask(rng: random.Random, number: int, at: float, habits: Habits) -> Ask:
    """One request of a caller with these habits."""
    token = f"q{number}q"
    style = NATIVE if habits.plain else rng.choice((NATIVE, NATIVE, CHAT, CHAT, COMPLETION))
    if style == CHAT:
        style = (MESSAGES, RESPONSES, CHAT)[number % 3]  # nothing is drawn for that: seeds stay what they were
    stream = habits.streams or (not habits.plain and rng.random() < 0.45)
    ask = Ask(token, at, style, _PATHS[style], b"", [], stream, rng.choice(habits.timeouts_s))
    body: dict[str, Any] = {"model": rng.choice(habits.models)} if any(habits.models) else {}
    if body.get("model") == "":
        del body["model"]
    body |= _content(rng, ask)
    if stream:
        body["stream"] = True
    if not habits.plain:
        _wish(rng, ask, body)
    if style == MESSAGES:
        body = _in_anthropics_words(body)
    elif style == RESPONSES:
        body = _in_words_of_responses(body)
    headers = [(b"content-type", b"application/json"), (b"x-request-id", token.encode())]
    if rng.random() < 0.2:
        headers.append((b"x-neverblank-timeout", b"%g" % ask.timeout_s))
    else:
        body["timeout"] = ask.timeout_s
    ask.headers, ask.body = headers, orjson.dumps(body)
    if not habits.plain:
        _trouble(rng, ask)
    _cut_up(rng, ask, habits)
    return ask


_PATHS = {
    NATIVE: "/v1/infer",
    CHAT: "/v1/chat/completions",
    COMPLETION: "/v1/completions",
    MESSAGES: "/v1/messages",
    RESPONSES: "/v1/responses",
}


def _in_anthropics_words(body: dict[str, Any]) -> dict[str, Any]:
    """A chat of OpenAI's as Anthropic's clients ask for it."""
    words = {key: value for key, value in body.items() if key not in {"tools", "tool_choice", "response_format"}}
    if "tools" in body:
        words["tools"] = [{"name": _LOOK["name"], "input_schema": _LOOK["parameters"]}]
        words["tool_choice"] = {"type": "any" if body["tool_choice"] == "required" else "auto"}
    if "response_format" in body:
        schema = PERSON if body["response_format"] == _SCHEMA else {"type": "object"}
        words["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return words


def _in_words_of_responses(body: dict[str, Any]) -> dict[str, Any]:
    """A chat of OpenAI's as it is asked for as a response."""
    words = {key: value for key, value in body.items() if key not in {"messages", "tools", "response_format"}}
    turns = body["messages"]
    words["input"] = turns if len(turns) > 1 else turns[0]["content"]
    if "tools" in body:
        words["tools"] = [{"type": "function", **_LOOK}]
    if "response_format" in body:
        schema = {"type": "json_schema", "name": "person", "schema": PERSON}
        words["text"] = {"format": schema if body["response_format"] == _SCHEMA else body["response_format"]}
    return words


def _content(rng: random.Random, ask: Ask) -> dict[str, Any]:
    if ask.style in OF_TURNS:
        messages = [{"role": "user", "content": f"Tell me of {ask.token}."}]
        if rng.random() < 0.1:
            messages.append({"role": "assistant", "content": "It begins"})
        return {"messages": messages}
    if ask.style == COMPLETION:
        if ask.stream:
            ask.prompts = 1 + int(ask.token.strip("q")) % 2
        elif rng.random() < 0.25:
            ask.prompts = rng.randint(2, 3)
        texts = [f"Tell me of {token}." for token in ask.tokens]
        return {"prompt": texts if ask.prompts > 1 else texts[0]}
    return {rng.choice(("text", "prompt", "input")): f"Tell me of {ask.token}."}


def _wish(rng: random.Random, ask: Ask, body: dict[str, Any]) -> None:
    """What a caller may want beside an answer."""
    body |= {key: False for key, chance in (("fallback", 0.06), ("hedge", 0.1), ("wait", 0.1)) if rng.random() < chance}
    if rng.random() < 0.05 and "fallback" not in body:
        body["tiers"] = rng.choice((["primary"], ["backup"], ["primary", "backup"]))
    if ask.stream and ask.style != NATIVE and rng.random() < 0.3 and ask.style in {CHAT, COMPLETION}:
        body["stream_options"] = {"include_usage": True}
        ask.include_usage = True
    if ask.style in OF_TURNS and rng.random() < 0.4:
        ask.form = rng.choice(("json", "schema", "schema", "tool", ""))
        if ask.form in ("tool", ""):
            body["tools"] = [LOOK]
            body["tool_choice"] = "required" if ask.form else "auto"
        else:
            body["response_format"] = _SCHEMA if ask.form == "schema" else {"type": "json_object"}


def _trouble(rng: random.Random, ask: Ask) -> None:
    """A caller that cannot write JSON, leaves, or reads slowly."""
    drawn = rng.random()
    if drawn < 0.04:
        wrong = rng.choice(_MALFORMED)
        ask.body, ask.valid = wrong if isinstance(wrong, bytes) else orjson.dumps(wrong), False
    elif drawn < 0.12:
        ask.leaves_after_s = rng.choice((0.0, 0.001, rng.uniform(0, 0.3), rng.uniform(0, ask.timeout_s)))
    elif drawn < 0.16 and ask.stream:
        ask.reads_every_s = rng.uniform(0.01, 1.0)


def _cut_up(rng: random.Random, ask: Ask, habits: Habits) -> None:
    if habits.plain or rng.random() < 0.7:
        ask.pieces = [(0.0, ask.body)]
        return
    cuts = sorted(rng.randrange(len(ask.body) + 1) for _ in range(rng.randint(1, 3)))
    parts = [ask.body[start:end] for start, end in zip([0, *cuts], [*cuts, len(ask.body)], strict=True)]
    slow = rng.choice((0.0, 0.01, 0.5, 3.0, 15.0)) if rng.random() < 0.5 else 0.0
    ask.pieces = [(slow * rng.random(), part) for part in parts]
