"""Many generations in one batch: each gets its own text, ends by its own rules, and leaves when nobody wants it."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from deployments.generation import BatchFullError, Generation, Sampling
from deployments.generation.batch import Batch, Member
from deployments.generation.detokenizer import Pieces

A = ord("a")


class Writing:
    """Writes the letters from its first token on, and ends after as many as it may."""

    def __init__(self, tokens: Sequence[int], limit: int) -> None:
        self.next = tokens[-1]
        self.left = limit
        self.unread: list[int] = []
        self.cancelled = False

    def step(self) -> None:
        if self.left and not self.cancelled:
            self.left -= 1
            self.unread.append(self.next)
            self.next += 1

    def read(self) -> Sequence[int]:
        taken, self.unread = self.unread, []
        return taken

    def finished(self) -> str:
        return "" if self.left else "length"

    def cancel(self) -> None:
        self.cancelled = True


class FakeEngine:
    """An engine that steps when a test lets it."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.writing: list[Writing] = []
        self.broken = False
        self.foreseen: list[Sequence[int]] = []
        self.taken = 0

    def add(self, tokens: Sequence[int], sampling: Sampling) -> Writing:
        if tokens[0] == 0:
            raise ValueError("no such token")
        self.writing.append(Writing(tokens, sampling.max_tokens))
        return self.writing[-1]

    def foresee(self, windows: Sequence[Sequence[int]]) -> None:
        self.foreseen = list(windows)

    def step(self) -> None:
        assert self.steps.acquire(timeout=10)
        if self.broken:
            raise RuntimeError("out of memory")
        self.taken += 1
        for writing in self.writing:
            writing.step()


class Clock:
    """Stands still unless a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def member(letter: str = "a", max_tokens: int = 3, **sampling: object) -> Member:
    wanted = Sampling(max_tokens, 0.0, **({"budget_s": 60.0} | sampling))  # type: ignore[arg-type]
    pieces = Pieces(lambda ids: "".join(map(chr, ids)), wanted.stop)
    return Member([ord(letter) if letter else 0], wanted, pieces, 0.0)


async def read(of: Member) -> tuple[list[str], Generation]:
    texts = []
    while not isinstance(item := await of.next(), Generation):
        texts.append(item)
    return texts, item


async def test_each_generation_gets_its_own_text_piece_by_piece_and_then_whole() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 4, Clock())
    members = [member("a"), member("x", 2)]
    for one in members:
        batch.add(one)
    engine.steps.release(8)

    assert [await read(one) for one in members] == [
        (["a", "b", "c"], Generation("abc", 1, 3, "length")),
        (["x", "y"], Generation("xy", 1, 2, "length")),
    ]


async def test_all_that_is_decoded_behind_a_step_is_foreseen_at_once() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 4, Clock())
    surprises: list[Sequence[int]] = []

    def decode(ids: Sequence[int]) -> str:
        if ids not in engine.foreseen:
            surprises.append(ids)
        return "".join(map(chr, ids))

    members = [Member([ord(letter)], Sampling(5, 0.0, 60.0), Pieces(decode), 0.0) for letter in "ax"]
    for one in members:
        batch.add(one)
    engine.steps.release(9)

    assert [(await read(one))[1].text for one in members] == ["abcde", "xyz{|"]
    assert len(surprises) <= 2 * len(members), "but for what is held back at the end of each"


async def test_an_event_loop_is_woken_once_for_all_that_a_step_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, loop = FakeEngine(), asyncio.get_running_loop()
    batch = Batch(engine, 4, Clock())
    woken: list[object] = []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: (woken.append(call), wake(*call))[1])
    members = [member("a"), member("x")]
    for one in members:
        batch.add(one)
    engine.steps.release(9)

    for one in members:
        await read(one)
    assert len(woken) <= engine.taken


async def test_one_that_finds_its_stop_text_leaves_before_the_others() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 4, Clock())
    stopped, other = member("a", 9, stop=("c",)), member("a", 9)
    batch.add(stopped)
    batch.add(other)
    engine.steps.release(20)

    assert (await read(stopped))[1] == Generation("ab", 1, 3, "stop")
    assert (await read(other))[1].text == "abcdefghi"
    assert engine.writing[0].cancelled


async def test_one_whose_budget_is_over_ends_with_what_there_is() -> None:
    engine, clock = FakeEngine(), Clock()
    batch = Batch(engine, 4, clock)
    late = member("a", 99, budget_s=5.0)
    batch.add(late)
    engine.steps.release()
    assert await late.next() == "a"
    clock.now = 5.0
    engine.steps.release()

    assert (await read(late))[1] == Generation("ab", 1, 2, "deadline")
    assert engine.writing[0].cancelled


async def test_one_that_is_given_up_leaves_at_the_next_step_and_makes_room() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 1, Clock())
    first = member("a", 99)
    batch.add(first)
    engine.steps.release()
    await first.next()
    first.given_up = True
    engine.steps.release()
    await read(first)

    assert engine.writing[0].cancelled
    assert batch.active == 0
    second = member("x", 1)
    batch.add(second)
    engine.steps.release(2)
    assert (await read(second))[1].text == "x"


async def test_a_full_batch_refuses_and_queues_nothing() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 2, Clock())
    batch.add(member())
    batch.add(member())

    with pytest.raises(BatchFullError, match="batch of 2 is full"):
        batch.add(member())
    assert batch.active == 2
    engine.steps.release(8)


async def test_what_the_engine_does_not_take_is_raised_where_it_came_from_and_nowhere_else() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 4, Clock())
    good, bad = member("a", 1), member("")
    batch.add(good)
    batch.add(bad)
    engine.steps.release(4)

    with pytest.raises(ValueError, match="no such token"):
        await read(bad)
    assert (await read(good))[1].text == "a"


async def test_an_engine_that_breaks_fails_those_in_it_and_is_asked_again() -> None:
    engine = FakeEngine()
    engine.broken = True
    batch = Batch(engine, 4, Clock())
    lost = member("a")
    batch.add(lost)
    engine.steps.release()

    with pytest.raises(RuntimeError, match="the engine failed: out of memory"):
        await read(lost)
    engine.broken = False
    next_one = member("x", 1)
    batch.add(next_one)
    engine.steps.release(2)
    assert (await asyncio.wait_for(read(next_one), 10))[1].text == "x"


def test_one_whose_event_loop_has_gone_costs_the_others_nothing() -> None:
    engine = FakeEngine()
    batch = Batch(engine, 2, Clock())

    async def leave() -> None:
        batch.add(member("a", 99))

    async def stay() -> str:
        other = member("x", 3)
        batch.add(other)
        engine.steps.release(9)
        return (await read(other))[1].text

    asyncio.run(leave())
    assert asyncio.run(stay()) == "xyz"
    assert engine.writing[0].cancelled
