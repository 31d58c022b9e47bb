"""Traces: a span for a request and one for each attempt reach a real receiver, and cost nobody an answer."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.observability.spans import drain_spans
from deployments.policy.outcome import Answered, Failed, Outcome, Usage
from deployments.request import InferenceRequest
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.upstream.passage import passage_headers
from tests.fakes import a_request
from tests.http.wire import send
from tests.otlp import Receiver, receiving
from tests.serving import FakeCluster, Replica, application
from tests.upstream.faulty import FaultyUpstream

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
QUOTED = "a secret"


class Asked(Replica):
    """Keeps the requests that it gets."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome
        self.requests: list[InferenceRequest] = []

    async def start(self, request: Any, budget_s: float, *, alone: Any = None) -> Outcome:
        self.requests.append(request)
        return self.outcome


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


async def routing(endpoint: str, outcome: Outcome | None = None, **traces: Any) -> tuple[Router, Asked, Asked]:
    """A router whose model `a` fails, the model, and the backup."""
    model = Asked(outcome or Failed(f"it broke on {QUOTED}", log_reason="ValueError in model.py"))
    backup: Any = Asked(Answered("fine", Usage(3, 5)))
    policy = PolicySettings().with_overrides({"traces": {"endpoint": endpoint, **traces}}, {})
    router = Router(FakeCluster({"a": model}, a=application("a")), backup, "backup", policy)
    await router._registry.refresh()
    return router, model, backup


async def ask(router: Router, path: str = "/v1/infer/a", **headers: str) -> Any:
    response = await send(router, path, {"text": QUOTED}, headers=headers)
    assert response.status_code == 200
    return response.json()


async def test_a_request_and_each_of_its_attempts_is_a_span_of_its_callers_trace(receiver: Receiver) -> None:
    router, model, backup = await routing(receiver.url)
    answer = await ask(router, **SAMPLED)

    own, first, second = receiver.of(TRACE, 3)

    assert (own.name, own.kind, own.parent, own.service) == ("text_completion a", "server", SPAN, "neverblank")
    assert own.attributes["neverblank.request_id"] == answer["request_id"]
    assert own.attributes["gen_ai.response.model"] == "backup"
    assert own.attributes["neverblank.degraded"] is True
    assert [(each.name, each.kind, each.parent) for each in (first, second)] == [
        ("text_completion a", "client", own.span_id),
        ("text_completion backup", "client", own.span_id),
    ]
    assert first.failed
    assert (first.attributes["error.type"], first.attributes["neverblank.why"]) == ("failed", "next")
    assert not second.failed
    assert second.attributes["gen_ai.usage.input_tokens"] == 3
    assert second.attributes["gen_ai.usage.output_tokens"] == 5
    for asked, span in ((model, first), (backup, second)):
        (request,) = asked.requests
        assert request.trace is not None
        assert request.trace.headers() == {"traceparent": f"00-{TRACE}-{span.span_id}-01", "tracestate": "vendor=1"}
    assert own.raw.start_time_unix_nano <= first.raw.start_time_unix_nano <= second.raw.end_time_unix_nano
    assert abs(own.raw.end_time_unix_nano / 1e9 - time.time()) < 60


async def test_half_a_surrogate_pair_costs_no_spans(receiver: Receiver) -> None:
    router, _, backup = await routing(receiver.url, Failed("it broke on \ud83d", log_reason="on \ud83d"), content=True)
    backup.outcome = Answered("fine \ud83d \U0001f600")
    await router.infer({"text": "Hi"}, "a")
    await ask(router, **SAMPLED)

    own, first, _ = receiver.of(TRACE, 3)

    assert first.attributes["neverblank.reason"] == first.raw.status.message == "it broke on ?"
    assert "fine ? \U0001f600" in own.attributes["gen_ai.output.messages"]


@pytest.mark.parametrize("content", [False, True])
async def test_what_was_said_is_in_a_span_only_if_the_setting_says_so(receiver: Receiver, *, content: bool) -> None:
    router, _, _ = await routing(receiver.url, content=content)
    await ask(router, **SAMPLED)

    told = str([span.attributes for span in receiver.of(TRACE, 3)])

    assert (QUOTED in told, "fine" in told) == (content, content)
    assert ("ValueError in model.py" in told) is not content


async def test_a_caller_decides_whether_its_requests_are_traced_unless_it_may_not(receiver: Receiver) -> None:
    router, model, _ = await routing(receiver.url, share=1)
    await ask(router, traceparent=f"00-{TRACE}-{SPAN}-00")
    router.reconfigure({"traces": {"endpoint": receiver.url, "share": 0, "follow_callers": False}})
    await ask(router, **SAMPLED)
    assert [request.trace for request in model.requests] == [None, None]

    router.reconfigure({"traces": {"endpoint": receiver.url, "share": 1}})
    await ask(router)
    assert model.requests[-1].trace is not None


@pytest.mark.parametrize(
    "parent",
    ["", "x", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01",
     f"00-{TRACE}-{SPAN}-01-x", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01" * 400],
)  # fmt: skip
async def test_a_malformed_trace_is_as_if_it_was_not_sent(receiver: Receiver, parent: str) -> None:
    router, model, _ = await routing(receiver.url, share=0)

    await ask(router, traceparent=parent)

    assert [request.trace for request in model.requests] == [None]


async def test_a_name_that_a_caller_made_up_names_no_span(receiver: Receiver) -> None:
    router, _, _ = await routing(receiver.url)
    await ask(router, "/v1/infer/a-name-that-a-caller-made-up", **SAMPLED)

    names = [span.name for span in receiver.of(TRACE, 3)]

    assert names == ["text_completion unknown", "text_completion unknown", "text_completion backup"]


async def test_a_stream_has_its_first_content_in_its_span(receiver: Receiver) -> None:
    router, _, _ = await routing(receiver.url)
    response = await send(router, "/v1/infer/a", {"text": "Hi", "stream": True}, headers=SAMPLED)
    assert "event: done" in response.text

    own = receiver.of(TRACE, 3)[0]

    assert own.attributes["gen_ai.request.stream"] is True
    assert 0 <= own.attributes["gen_ai.response.time_to_first_chunk"] < 30


async def test_a_request_that_its_model_rejects_is_a_span_that_failed(receiver: Receiver) -> None:
    router, _, _ = await routing(receiver.url)

    response = await send(router, "/v1/infer/a", {"text": "Hi", "task": "feature-extraction"}, headers=SAMPLED)

    assert response.status_code == 400
    (own,) = receiver.of(TRACE, 1)
    assert (own.failed, own.attributes["error.type"]) == (True, "rejected")


async def test_an_endpoint_that_hangs_holds_nobody_up_and_more_spans_than_it_takes_are_dropped(
    receiver: Receiver,
) -> None:
    drain_spans()
    receiver.hangs.set()
    router, _, _ = await routing(receiver.url, share=1)
    await ask(router)  # the library is imported once
    began = time.monotonic()

    for _ in range(1000):
        await router.infer({"text": "Hi"}, "a")

    assert time.monotonic() - began < 15
    assert drain_spans()["dropped"] > 0, "of 3,000 spans most find no place"


async def test_an_endpoint_that_takes_no_spans_is_told_until_one_takes_them(
    receiver: Receiver, faulty: FaultyUpstream
) -> None:
    router, _, _ = await routing(f"http://127.0.0.1:{faulty.port}/nowhere", share=1)

    async def told(*, reachable: bool) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while (traces := router.describe()["traces"])["reachable"] is not reachable:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.02)
        return dict(traces)

    await ask(router)
    refused = await told(reachable=False)
    router.reconfigure({"traces": {"endpoint": receiver.url, "share": 1}})
    await ask(router)
    taken = await told(reachable=True)

    assert (refused["on"], "has not taken the last" in refused["reason"]) == (True, True)
    assert taken["reason"] == ""


async def test_without_an_endpoint_no_library_is_asked_and_no_context_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    router, model, _ = await routing("")

    def asked(*_: Any) -> Any:
        raise AssertionError("nobody is to be asked")

    monkeypatch.setattr("deployments.router.request_trace.exporter_to", asked)
    await ask(router, **SAMPLED)

    assert [request.trace for request in model.requests] == [None]


def test_a_remote_gets_the_context_of_its_attempt_and_none_where_there_is_none() -> None:
    assert "traceparent" not in passage_headers(a_request(), "s", 1.0)
