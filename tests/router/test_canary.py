"""The canary: a backup that rots is known before it is needed, at a bounded cost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.policy.answer import Answer, winning_answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.last_resort import LastResort
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, Refused
from deployments.request import InferenceRequest
from deployments.request.inference import ResponseFormat
from deployments.router.canary import Canary
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.settings.canary import CanarySettings
from tests.fakes import a_request
from tests.http.wire import send
from tests.router.test_last_resort import a_ready_router
from tests.serving import OWN, FakeCluster, Replica, application
from tests.upstream.faulty import FaultyUpstream

BACKUP = Candidate(Tier.BACKUP, "backup")
HELLO = Answered("Hello.")


class AskedBackup:
    """A backup that gives `outcome`, after `seconds`."""

    def __init__(self, outcome: Outcome = HELLO, seconds: float = 0.0) -> None:
        self.outcome, self.seconds = outcome, seconds
        self.asked: list[InferenceRequest] = []

    async def __call__(self, request: InferenceRequest) -> Answer:
        self.asked.append(request)
        await asyncio.sleep(self.seconds)
        trace = (Ended(BACKUP, 0.0, 1.0, self.outcome),)
        if isinstance(self.outcome, Answered):
            return winning_answer(BACKUP, BACKUP, self.outcome, trace)
        return LastResort("Sorry.").answer(trace)


async def running_for(canary: Canary, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(canary.run(), seconds)


def canary_of(backup: AskedBackup, **settings: Any) -> Canary:
    held = CanarySettings(**settings)
    return Canary(backup, lambda: held)


@pytest.mark.looptime
async def test_a_backup_is_asked_every_so_often_and_is_sound_while_it_answers() -> None:
    backup = AskedBackup()
    canary = canary_of(backup, every_seconds=10, prompt="Are you there?", max_tokens=4)

    await running_for(canary, 105)

    assert 9 <= len(backup.asked) <= 11
    assert (backup.asked[0].text, backup.asked[0].parameters.max_tokens) == ("Are you there?", 4)
    assert canary.is_sound


@pytest.mark.looptime
async def test_a_backup_that_is_blank_three_times_in_a_row_is_unsound_until_it_answers_again() -> None:
    backup = AskedBackup(Blank("nothing"))
    canary = canary_of(backup, every_seconds=10, failures=3)

    await running_for(canary, 25)
    assert canary.is_sound
    await running_for(canary, 20)
    assert not canary.is_sound
    assert canary.describe()["reason"] == "nothing"

    backup.outcome = HELLO
    await running_for(canary, 15)
    assert canary.is_sound


@pytest.mark.looptime
async def test_a_backup_that_is_full_is_at_work_and_not_unsound() -> None:
    canary = canary_of(AskedBackup(Refused("its queue is full")), every_seconds=1, failures=1)

    await running_for(canary, 10)

    assert canary.is_sound


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        (replace(a_request(), response_format=ResponseFormat({"type": "json_object"})), Failed("no JSON", misfit=True)),
        (a_request(), Blank("16 tokens, none of them visible", cut=True)),
    ],
    ids=["a form", "few tokens"],
)
async def test_what_the_terms_of_an_exercise_do_not_let_a_backup_answer_is_no_failure(
    asked: InferenceRequest, outcome: Outcome
) -> None:
    canary = canary_of(AskedBackup(outcome), share=1.0, failures=1)

    canary.offer(asked)
    await asyncio.sleep(0.01)

    assert canary.describe()["asked"] == 1
    assert canary.is_sound


@pytest.mark.looptime
async def test_while_the_backup_is_asked_a_small_question_no_real_request_is_asked_twice() -> None:
    backup = AskedBackup(seconds=5)
    canary = canary_of(backup, every_seconds=1, share=1.0)

    running = asyncio.create_task(canary.run())
    await asyncio.sleep(2)
    canary.offer(a_request(text="Hi"))
    await asyncio.sleep(1)
    running.cancel()

    assert [request.text for request in backup.asked] == ["Say hello."]


async def test_of_the_short_answers_of_an_exercise_nothing_is_learnt_about_the_backup() -> None:
    router = await a_ready_router(canary={"share": 1.0})
    before = router.describe()["backup"]
    for _ in range(6):
        router._answering.canary.offer(a_request(text="Hi"))
        await asyncio.sleep(0.01)

    assert router.describe()["canary"]["asked"] == 6
    assert router.describe()["backup"] == before


async def test_a_remote_backup_that_answers_says_nothing_about_the_local_one(faulty: FaultyUpstream) -> None:
    remotes = {"far": {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "healthy"}}
    router = await a_ready_router(canary={"every_seconds": 60, "failures": 1}, remotes=remotes, backup_model="far")
    router._answering.canary._note("it was silent")

    answer = await send(router, "/v1/infer/unknown", {"text": "Hi"})
    await router._upstreams.aclose()

    assert (answer.json()["served_by"], answer.json()["model"]) == ("backup", "far")
    assert router.describe()["canary"]["sound"] is False


@pytest.mark.looptime
async def test_a_backup_that_has_just_answered_a_real_request_is_not_asked() -> None:
    backup = AskedBackup()
    canary = canary_of(backup, every_seconds=10)

    async def serve() -> None:
        while True:
            canary.answered()
            await asyncio.sleep(1)

    serving = asyncio.create_task(serve())
    await running_for(canary, 100)
    serving.cancel()

    assert backup.asked == []


@pytest.mark.looptime
async def test_a_share_of_the_real_requests_is_asked_of_the_backup_one_at_a_time() -> None:
    backup = AskedBackup(seconds=5)
    canary = canary_of(backup, share=1.0, max_tokens=8)

    for _ in range(10):
        canary.offer(replace(a_request(text="Hi"), stream=True))
        await asyncio.sleep(1)

    assert len(backup.asked) == 2
    assert (backup.asked[0].text, backup.asked[0].stream, backup.asked[0].parameters.max_tokens) == ("Hi", False, 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: replace(asked, vectors=True),
        lambda asked: replace(asked, prompt_tokens=(1,)),
        lambda asked: replace(asked, fallback=False),
        lambda asked: replace(asked, tiers=frozenset({Tier.PRIMARY})),
    ],
)
async def test_what_the_backup_could_not_answer_as_it_is_or_may_not_see_is_not_asked_twice(
    change: Callable[[InferenceRequest], InferenceRequest],
) -> None:
    backup = AskedBackup()
    canary = canary_of(backup, share=1.0)

    canary.offer(change(a_request(text="Hi")))
    await asyncio.sleep(0)

    assert backup.asked == []


async def test_the_backup_of_a_router_whose_canary_fails_is_not_ready_and_is_asked_all_the_same() -> None:
    policy = PolicySettings().with_overrides({"canary": {"every_seconds": 60, "failures": 1}}, {})
    backup: Any = Replica()
    router = Router(FakeCluster(**{OWN: application(OWN)}), backup, "backup", policy)
    await router._registry.refresh()
    assert router.readiness()["backup"] is True

    router._answering.canary._note("it was silent")

    assert router.readiness()["backup"] is False
    assert router.describe()["canary"]["sound"] is False
    answer = await send(router, "/v1/infer", {"text": "Hi", "timeout": 1})
    assert [attempt["model"] for attempt in answer.json()["attempts"]] == ["backup"]


@pytest.mark.looptime
async def test_a_pause_that_is_changed_or_turned_off_is_the_new_one_within_a_second() -> None:
    backup, held = AskedBackup(), [CanarySettings(every_seconds=3600)]
    canary = Canary(backup, lambda: held[0])
    running = asyncio.create_task(canary.run())

    await asyncio.sleep(5)
    held[0] = CanarySettings(every_seconds=10)
    await asyncio.sleep(13)
    asked = len(backup.asked)
    held[0] = CanarySettings()
    await asyncio.sleep(60)
    running.cancel()

    assert (asked, len(backup.asked)) == (1, 1)
