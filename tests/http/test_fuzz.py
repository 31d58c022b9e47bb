"""Whatever is sent to the application of a router: it is answered, in bounds, and its neighbours are, too."""

import asyncio
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.execution.attempt import Begun, begin
from deployments.http.asgi import build_asgi
from deployments.observability import log
from deployments.policy.no_tokens import TOKENIZER_UNAVAILABLE
from deployments.policy.no_vector import VECTOR_UNAVAILABLE
from deployments.policy.outcome import Answered, Finished, Outcome, StreamItem
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.http.hostile import draw_hostile
from tests.http.words import missing
from tests.serving import OWN, FakeCluster, application
from tests.simulation.asking import NATIVE, Ask
from tests.simulation.client import Exchange, exchange
from tests.simulation.loop import SimulatedLoop
from tests.simulation.record import NotedLog

REQUESTS = 1000
INNOCENT = b'{"text": "Hello", "timeout": 5}'

MOST_TIMES = 2500
"""How much longer than a plain request any other may compute. A check of two answers at the bound of its steps comes to
1,400 times, the most of 31 seeds; what is exponential in a few bytes comes to millions."""

REPEATED = 5
"""The slowest are sent again, and their fastest time counts: a pause of the collector is not theirs."""

ANSWERS: tuple[Any, ...] = (
    "Hello",
    "[" * 90 + "]" * 90,
    json.dumps({"name": ["a" * 200] * 300}),
    json.dumps({"name": [[number % 7] for number in range(3000)]}),
    json.dumps({"name": {"next": {"next": {"next": None}}}}),
    json.dumps({"name": "a" * 3000 + "b"}),
    json.dumps({f"x{'x' * number}": number for number in range(300)}),
    json.dumps(["a" * 40] * 2000),
    {"label": 1, "scores": [float("inf")] * 3},
    "[" * 340 + "]" * 340,
    '{"name":' * 2000 + "1" + "}" * 2000,
    "[" + "[]," * 400_000 + "[]]",
    "[" + "[]," * 60_000 + "[]]",
    json.dumps("01101" * 500_000),
    json.dumps({"name": "01101" * 20_000}),
    json.dumps([{"a": 0}] * 20_000),
)
"""What models say to the hostile: some of it is much work for a validator."""


NOTHING_STANDS_IN = {
    "/v1/embeddings": VECTOR_UNAVAILABLE,
    **dict.fromkeys(("/tokenize", "/detokenize", "/v1/messages/count_tokens"), TOKENIZER_UNAVAILABLE),
}
"""The paths whose answers no text may stand in for, and the code of the error that is given with 503."""


@dataclass(slots=True)
class Replica:
    """A model that answers at once, with anything."""

    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - a seed is the point

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:
        answer = "Hello" if request.text == "Hello" else self.rng.choice(ANSWERS)
        return await begin(self._stream(answer)) if request.stream else Answered(answer)

    async def _stream(self, answer: Any) -> Any:
        items: list[StreamItem] = [answer if isinstance(answer, str) else json.dumps(answer), Finished()]
        for item in items:
            yield item

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        return Answered({"count": 1, "max_model_len": 9, "tokens": [1], "prompt": "Hello"})

    async def describe(self) -> dict[str, Any]:
        return {"state": "ready", "reason": ""}

    async def expect(self, router: str, requests: float) -> None:
        return

    def lost(self, actors: Any) -> int:
        return 0

    def unresponsive(self, actors: Any) -> int:
        return 0

    def member(self, name: str) -> "Replica":
        return self


@dataclass(slots=True)
class Sent:
    """A hostile request, what came of it, how long it and a plain one took to compute, and the bugs that it found.

    Attributes:
        last_resort_status: what the policy says that a last resort is.
    """

    number: int
    ask: Ask
    done: Exchange
    beside: Exchange
    seconds: float
    plain_seconds: float
    broke: list[Any]
    last_resort_status: int

    def __str__(self) -> str:
        sent = f"{self.number}: {self.ask.method} {self.ask.path[:60]} {self.ask.body[:300]!r}"
        return f"{sent}: {self.done.status} {self.done.body[:200]!r}"


def an_ask(path: str, body: bytes, headers: list[tuple[bytes, bytes]], method: str = "POST") -> Ask:
    pieces = [(0.0, body)]
    return Ask("q", 0.0, NATIVE, path, body, headers, stream=False, timeout_s=5.0, pieces=pieces, method=method)


async def send_all(status: int, seed: int, noted: list[Any]) -> list[Sent]:
    """All of them, each with an innocent request beside it, to one router."""
    known = {OWN: application(OWN), "a": application("a")}
    replicas: Any = {"a": Replica(), "backup": Replica()}
    router = Router(FakeCluster(replicas, **known), replicas["backup"], "backup", PolicySettings())
    router.reconfigure({"default_model": "a", "last_resort": {"status": status}})
    app = build_asgi(router)
    rng = random.Random(seed)  # noqa: S311 - a seed is the point
    sent: list[Sent] = []
    async with app.router.lifespan_context(app):
        await asyncio.sleep(2.0)
        plain = sorted([await _timed(app, an_ask("/v1/infer", INNOCENT, [])) for _ in range(60)])[30]
        for number in range(REQUESTS):
            method, path, body, headers = draw_hostile(rng)
            ask = an_ask(path, body, headers, method)
            began, before = time.process_time(), len(noted)
            done, beside = await asyncio.gather(exchange(app, ask), exchange(app, an_ask("/v1/infer", INNOCENT, [])))
            broke = [fields for _, event, fields in noted[before:] if event == "internal_error"]
            sent.append(Sent(number, ask, done, beside, time.process_time() - began, plain, broke, status))
        for slow in sorted(sent, key=lambda each: -each.seconds)[:REPEATED]:
            slow.seconds = min(slow.seconds, *[await _timed(app, slow.ask) for _ in range(3)])
    return sent


async def _timed(app: Any, ask: Ask) -> float:
    began = time.process_time()
    await exchange(app, ask)
    return time.process_time() - began


SEED = 2026
SEEDS_OF_SOAK = range(1, 1 + int(os.environ.get("FUZZ_SEEDS", "100")))

RUNS = [(status, SEED) for status in (200, 503)]
RUNS_OF_SOAK = [pytest.param((200 if seed % 2 else 503, seed), marks=pytest.mark.soak) for seed in SEEDS_OF_SOAK]


@pytest.fixture(scope="module", params=[*RUNS, *RUNS_OF_SOAK], ids=str)
def sent(request: pytest.FixtureRequest) -> Iterator[list[Sent]]:
    loop = SimulatedLoop()
    with pytest.MonkeyPatch.context() as patched:
        noted: list[Any] = []
        patched.setattr(log, "logger", lambda: NotedLog(noted))
        status, seed = request.param
        yield loop.run_until_complete(send_all(status, seed, noted))
    loop.close()


def test_a_hostile_request_is_never_an_error_of_ours(sent: list[Sent]) -> None:
    wrong = [each for each in sent if each.done.raised is not None or not _is_expected(each)]

    assert not wrong, "\n".join(f"{each} {each.done.raised!r}" for each in wrong[:5])
    assert {each.done.status for each in sent} >= {200, 400, 404, 405, 413}


def test_no_last_resort_stands_in_for_a_bug_that_a_hostile_request_has_found(sent: list[Sent]) -> None:
    wrong = [each for each in sent if each.broke]

    assert not wrong, "\n".join(f"{each} {each.broke}" for each in wrong[:5])


def test_a_hostile_request_is_answered_with_words(sent: list[Sent]) -> None:
    wrong = [(each, lacks) for each in sent if (lacks := _lacks(each))]

    assert not wrong, "\n".join(f"{each} lacks {lacks}" for each, lacks in wrong[:5])


def test_a_hostile_request_computes_within_its_bound(sent: list[Sent]) -> None:
    slowest = max(sent, key=lambda each: each.seconds)

    assert slowest.seconds < MOST_TIMES * slowest.plain_seconds, f"{slowest.seconds / slowest.plain_seconds}: {slowest}"


def test_an_innocent_request_beside_a_hostile_one_is_answered(sent: list[Sent]) -> None:
    wrong = [each for each in sent if each.beside.status != 200 or b'"result":"Hello"' not in each.beside.body]

    assert not wrong, "\n".join(f"beside {each}: {each.beside.body[:200]!r}" for each in wrong[:5])


DELTA = {"index": 0, "delta": {"content": "\n"}, "finish_reason": "stop"}
OUTPUT = {"status": "completed", "output": [{"content": [{"text": " "}]}]}


@pytest.mark.parametrize(
    ("path", "events"),
    [
        ("/v1/infer", [("done", {"result": " ", "finish_reason": "stop"})]),
        ("/v1/chat/completions", [("", {"choices": [DELTA]}), ("", "[DONE]")]),
        ("/v1/messages", [("", {"type": "content_block_delta", "delta": {"text": "\u200b"}}), ("message_stop", {})]),
        (
            "/v1/responses",
            [("response.output_text.delta", {"delta": "Hi"}), ("response.completed", {"response": OUTPUT})],
        ),
    ],
)
def test_a_stream_with_an_end_and_no_word_is_taken_for_no_answer(path: str, events: list[tuple[str, Any]]) -> None:
    told = [(name, {"type": name} | data if isinstance(data, dict) else data) for name, data in events]
    written = [f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n" for name, data in told]

    assert missing(path, 200, "text/event-stream", "".join(written).encode()) in {"words", "a result"}


def _is_expected(each: Sent) -> bool:
    """Whether the status is none of an error of ours: 503 only where nothing may stand in, or the policy says so."""
    done = each.done
    if done.status != 503:
        return 200 <= done.status < 500
    if done.headers.get("x-neverblank-served-by") != "last_resort":
        return False
    code = NOTHING_STANDS_IN.get(each.ask.path)
    return each.last_resort_status == 503 if code is None else json.loads(done.body)["error"]["code"] == code


def _lacks(each: Sent) -> str:
    if each.done.ended is None:
        return "an end"
    return missing(each.ask.path, each.done.status, each.done.headers["content-type"], each.done.body)
