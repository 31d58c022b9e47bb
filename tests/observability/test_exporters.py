"""The threads that send spans: one for each of a few endpoints, however often they take turns."""

import threading

import pytest

from deployments.observability import spans


@pytest.fixture(autouse=True)
def _no_exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, spans.SpanExporter] = {}
    monkeypatch.setattr(spans, "_exporters", lambda: known)
    monkeypatch.setattr(spans.SpanExporter, "_run", _wait_for_its_end)


def _wait_for_its_end(exporter: spans.SpanExporter) -> None:
    while exporter._next_batch()[1]:
        pass


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "spans"}


def test_two_endpoints_that_take_turns_have_one_thread_each() -> None:
    before = _threads()

    made = [spans.exporter_to(f"http://127.0.0.1/{turn % 2}") for turn in range(40)]

    assert len({*map(id, made)}) == 2
    assert len(_threads() - before) == 2
    for exporter in made[:2]:
        exporter.close()


def test_ever_new_endpoints_end_those_that_were_asked_for_the_longest_ago() -> None:
    before = _threads()

    made = [spans.exporter_to(f"http://127.0.0.1/{number}") for number in range(spans.MOST_ENDPOINTS + 3)]
    for exporter in made[-spans.MOST_ENDPOINTS :]:
        exporter.close()

    for thread in _threads() - before:
        thread.join(10)
    assert _threads() <= before
