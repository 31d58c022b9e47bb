"""Hostile requests, drawn: bodies, headers, schemas, paths and methods that nobody means well by."""

import copy
import random
from collections.abc import Callable
from typing import Any

import orjson

from tests.http.wire import CALL, CHAT
from tests.request.test_schema import HOSTILE as SCHEMAS
from tests.request.test_schema import chained

LET_IN: tuple[dict[str, Any], ...] = (
    chained(8, "anyOf"),
    chained(7, "allOf"),
    {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
    {"items": {"uniqueItems": True, "items": {"uniqueItems": True}}},
    {"type": "string", "pattern": "^(a+)+$"},
    {"minItems": 64, "items": {"minItems": 64, "items": {"minItems": 64, "type": "array"}}},
    {"multipleOf": 1e-320, "minimum": 1},
    {"type": "integer", "minimum": 1e300},
    {"not": {"not": {"not": {}}}},
    {"patternProperties": {"(x+x+)+y": {"type": "integer"}}},
    {"$defs": {"a": {"enum": list(range(900))}}, "items": {"anyOf": [{"$ref": "#/$defs/a"}] * 4}},
    {"type": "array"},
    {"type": "array", "uniqueItems": True, "items": {"$ref": "#"}},
    {"$ref": "#/components/schemas/A", "components": {"schemas": {"A": {"items": {"$ref": "#/components/schemas/A"}}}}},
    {"items": {"not": {"dependentRequired": {"a": [f"x{number}" for number in range(3000)]}}}},
    {"type": "string", "pattern": "[01]*1[01]{900}x"},
    {"anyOf": [{"type": "integer"}, *[{"items": {"$ref": "#"}}] * 2]},
)
"""Schemas that may be let in, and that an answer is then held to."""

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    -0.0,
    1e308,
    5e-324,
    2**63,
    2**64 - 1,
    "",
    " ",
    "\u200b",
    "\x00",
    "x" * 70_000,
    "\ud7ff\uffff\U0010ffff",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"__proto__": {}},
    list(range(2000)),
    {f"k{number}": number for number in range(2000)},
)
_RAW: tuple[bytes, ...] = (
    b"",
    b"null",
    b"NaN",
    b"\xff\xfe\x00",
    b'{"text": "\xc3\x28"}',
    b'{"text": "\\ud800"}',
    b'{"text": "a", "text": "", "text": null}',
    b'{"text": "a", "timeout": 1e999}',
    b'{"text": "a", "timeout": -Infinity}',
    b'{"text": "a", "max_tokens": ' + b"9" * 5000 + b"}",
    b'{"text": "a"}{"text": "b"}',
    b'\xef\xbb\xbf{"text": "a"}',
    b"[" * 100_000,
    b"[" * 200 + b"]" * 200,
    b'{"a":' * 99 + b"1" + b"}" * 99,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'{"text": "' + b"\\u0000" * 30_000 + b'"}',
    b'{"input": [' + b"0," * 300_000 + b"0]}",
    b'{"text": "' + b"x" * (1 << 20) + b'"}',
)
_HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"x-neverblank-timeout", (b"nan", b"-1", b"1e999", b"", b" 5 ", b"0x10", b"\xff", b"9" * 9000, b"1_0", b"0.0009")),
    (b"x-request-timeout-seconds", (b"inf", b"5", b"soon", "\uff15".encode(), b"+5", b"0")),
    (b"x-neverblank-tiers", (b"", b",", b"primary,,backup", b"king", b"PRIMARY", b"\x80")),
    (b"x-neverblank-hedge", (b"", b"maybe", b"TRUE", b"0", b"\xfe")),
    (b"x-neverblank-fallback", (b"false", b"no")),
    (b"x-neverblank-wait", (b"false", b"\t")),
    (b"x-request-id", (b"", b"x" * 9000, b"\xe9\xff", b"<script>", b"%0d%0aset-cookie: a=b")),
    (b"content-type", (b"", b"text/xml", b"application/json; charset=utf-16", b"multipart/form-data")),
    (b"content-length", (b"-1", b"99999999999", b"x")),
    (b"content-encoding", (b"gzip", b"br")),
    (b"accept", (b"text/event-stream", b"\xff")),
)
_PATHS = (
    *("/v1/infer", "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens"),
    "/v1/responses",
    *("/v1/embeddings", "/tokenize", "/detokenize"),
)
_USED = {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "x"}}
_RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}], "is_error": False}
_SEEN = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
_SHOWN = {"type": "input_image", "image_url": "data:,"}
_BASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/infer", {"text": "Hi"}),
    ("/v1/infer", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}),
    ("/v1/infer/a", {"input": {"rows": [1, 2]}, "stream": True}),
    ("/v1/chat/completions", {**CHAT, "temperature": 1, "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {"messages": [*CHAT["messages"], {"role": "assistant", "tool_calls": [CALL]}]}),
    ("/v1/chat/completions", {**CHAT, "tools": [{"type": "function", "function": {"name": "look"}}], "stop": ["x"]}),
    ("/v1/completions", {"prompt": ["Hi", "Ho"], "logit_bias": {"5": 1}, "seed": 3}),
    (
        "/v1/messages",
        {
            "system": [{"type": "text", "text": "x"}],
            "messages": [
                *CHAT["messages"],
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}, _USED]},
                {"role": "user", "content": [_RESULT, {"type": "text", "text": "x"}]},
            ],
            "tools": [{"name": "look", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "stream": True,
        },
    ),
    ("/v1/messages", {"messages": [{"role": "user", "content": [_SEEN]}], "metadata": {"user_id": "x"}}),
    ("/v1/messages", {**CHAT, "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
    (
        "/v1/responses",
        {
            "instructions": "x",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "x"}, _SHOWN]},
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
                {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ],
            "tools": [{"type": "function", "name": "look"}, {"type": "web_search"}],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
            "stream": True,
        },
    ),
    (
        "/v1/responses",
        {"input": "Hi", "text": {"format": {"type": "json_object"}}, "include": [], "metadata": {"a": "b"}},
    ),
    ("/v1/embeddings", {"input": ["Hi", "Ho"], "encoding_format": "base64", "dimensions": 3}),
    ("/v1/embeddings", {"input": [[1, 2], [3]], "prompt_name": "query", "user": "x"}),
    ("/tokenize", {"prompt": "Hi", "add_special_tokens": False, "return_token_strs": True}),
    (
        "/tokenize",
        {**CHAT, "tools": [{"type": "function", "function": {"name": "look"}}], "continue_final_message": False},
    ),
    ("/detokenize", {"tokens": [1, 2, 3]}),
    ("/v1/messages/count_tokens", {**CHAT, "thinking": {"type": "enabled", "budget_tokens": 2000}}),
)


def draw_hostile(rng: random.Random) -> tuple[str, str, bytes, list[tuple[bytes, bytes]]]:
    """Method, path, body and headers of one request."""
    path, body = rng.choice(_KINDS)(rng)
    method = rng.choice(("POST",) * 12 + ("GET", "PUT", "BREW"))
    if rng.random() < 0.1:
        path = rng.choice(
            ("/v1/infer/" + "x" * 5000, "/v1/infer/\u202e\x00", "/v1", "//", "/v1/models/\ufffd", "/status")
        )
    headers = [(b"x-request-id", b"hostile")] if rng.random() < 0.5 else []
    for name, values in rng.sample(_HEADERS, rng.choice((0, 0, 1, 2, 5))):
        headers.append((name, rng.choice(values)))
    return method, path, body, headers


def _raw(rng: random.Random) -> tuple[str, bytes]:
    return rng.choice(_PATHS), rng.choice(_RAW)


def _noise(rng: random.Random) -> tuple[str, bytes]:
    path, base = rng.choice(_BASES)
    data = bytearray(orjson.dumps(base))
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return path, bytes(data)


def _odd(rng: random.Random) -> tuple[str, bytes]:
    """A request some of whose values, at any depth, are others than they should be."""
    path, base = rng.choice(_BASES)
    data = orjson.loads(orjson.dumps(base))
    for _ in range(rng.randint(1, 3)):
        _replace_one(rng, data)
    if rng.random() < 0.3:
        data[rng.choice(_KEYS)] = copy.deepcopy(rng.choice(ODD))
    return path, orjson.dumps(data)


_KEYS = (
    *(
        "timeout",
        "tiers",
        "fallback",
        "hedge",
        "wait",
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "seed",
        "user",
    ),
    *(
        "temperature",
        "top_p",
        "stop",
        "logit_bias",
        "tools",
        "tool_choice",
        "response_format",
        "n",
        "metadata",
        "x" * 300,
    ),
)


def _replace_one(rng: random.Random, value: Any) -> None:
    places = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not places:
        return
    place = rng.choice(places)
    if isinstance(value[place], dict | list) and value[place] and rng.random() < 0.6:
        _replace_one(rng, value[place])
    else:
        value[place] = copy.deepcopy(rng.choice(ODD))


_PLACES = ("", "/", "/default", "/title", "/required", "/required/0", "/properties", "/properties/name", "/default/-1")
_NO_SCHEMAS: tuple[Any, ...] = (
    *({"allOf": 5}, {"properties": 3}, {"dependentSchemas": None}, {"type": "nonsense"}, {"$ref": 5}, {"items": []}),
    *({"$ref": "#/default"}, {"allOf": [{"$ref": "#"}]}, {"$id": "x"}, {"enum": {}}, {"required": "a"}),
)
"""What stands beside a schema, where a reference may lead."""


def _schema(rng: random.Random) -> tuple[str, bytes]:
    """A demand for an answer in a hostile form."""
    schema = copy.deepcopy(rng.choice([*(schema for schema, _ in SCHEMAS.values()), *LET_IN * 2]))
    if rng.random() < 0.5:
        schema = {"title": f"{rng.random()}", "type": "object", "properties": {"name": schema}, "required": ["name"]}
    if rng.random() < 0.2:
        _replace_one(rng, schema)
    if rng.random() < 0.2:
        place = rng.choice(_PLACES)
        schema |= {"$ref": f"#{place}", "default": copy.deepcopy(rng.choice([*ODD, *_NO_SCHEMAS, *LET_IN]))}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = {**CHAT, "response_format": wanted, "stream": rng.random() < 0.3}
    if rng.random() < 0.2:
        functions = [{"name": f"look{number}", "parameters": schema} for number in range(100)]
        body = {**CHAT, "tools": [{"type": "function", "function": function} for function in functions]}
    return "/v1/chat/completions", orjson.dumps(body)


_KINDS: tuple[Callable[[random.Random], tuple[str, bytes]], ...] = (_raw, _noise, _odd, _odd, _schema, _schema)
