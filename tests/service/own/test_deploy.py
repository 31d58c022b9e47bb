"""`neverblank deploy`: models come, change, break and go while a real service answers."""

import asyncio
import re

import pytest

from tests.service.load import Client, Got
from tests.service.rollout import Rollout
from tests.service.service import Service, eventually


@pytest.fixture
def service(plain: Service) -> Service:
    return plain


def version(service: Service, model: str) -> str:
    """What a model says its version is; what else answered where it did not."""
    answer, _ = service.ask({"text": "x", "max_tokens": 4}, model)
    return str(answer["result"]).partition(":")[0] if answer["served_by"] == "primary" else answer["served_by"]


def processes(service: Service) -> set[int]:
    """The processes of all replicas but those of the model that is changed."""
    titles = {process.pid: " ".join(process.cmdline()) for process in service.family()}
    return {pid for pid, title in titles.items() if "ServeReplica" in title and "changing" not in title}


def test_the_first_deployment_already_replaces_only_what_has_changed(service: Service, rollout: Rollout) -> None:
    before = processes(service)
    rollout.write("changing", arguments={"version": 2})

    code, told, errors = rollout.deploy(service)

    assert code == 0, errors
    changes = {name: application["change"] for name, application in told.items()}
    assert changes == dict.fromkeys(changes, "unchanged") | {"changing": "changed"}
    assert processes(service) == before
    assert version(service, "changing") == "version 2"


def test_a_deployment_that_changes_nothing_says_so(service: Service, rollout: Rollout) -> None:
    _, told, _ = rollout.deploy(service)

    assert {application["change"] for application in told.values()} == {"unchanged"}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving_and_is_an_error_that_says_why(
    service: Service, rollout: Rollout
) -> None:
    rollout.write("breaking", arguments={"version": 2, "fail": True})

    code, told, _ = rollout.deploy(service)

    assert (code, told["breaking"]["state"]) == (1, "failed")
    assert "RuntimeError: no weights for version 2 (what was there before still serves)" in told["breaking"]["why"]
    assert version(service, "breaking") == "version 1"
    seen = eventually(lambda: service.status()["models"]["breaking"].get("update_failed"))
    assert "no weights for version 2" in seen

    rollout.write("breaking", arguments={"version": 3})
    code, _, errors = rollout.deploy(service)

    assert code == 0, errors
    assert version(service, "breaking") == "version 3"


async def test_while_the_only_replica_is_replaced_every_answer_is_its_own_and_then_all_are_the_new_ones(
    service: Service, rollout: Rollout
) -> None:
    rollout.write("changing", arguments={"version": 4, "load_seconds": 2})
    deploying = asyncio.create_task(asyncio.to_thread(rollout.deploy, service))
    during: list[Got] = []
    async with Client(service.port) as client:
        while not deploying.done():
            during.append(await client.ask("changing", {"text": "x"}))
            await asyncio.sleep(0.02)
        code, _, errors = await deploying
        after = [await client.ask("changing", {"text": "x"}) for _ in range(50)]

    assert code == 0, errors
    assert [got.body.get("attempts", got.error) for got in during if got.served_by != "primary"] == []
    assert {str(got.body["result"]).partition(":")[0] for got in after} == {"version 4"}


def test_a_model_that_is_taken_off_the_list_is_gone_and_its_name_still_gets_an_answer(
    service: Service, rollout: Rollout
) -> None:
    rollout.write("passing", arguments={"version": 1})
    code, told, errors = rollout.deploy(service)
    assert (code, told["passing"]["change"]) == (0, "new"), errors
    eventually(lambda: version(service, "passing") == "version 1")

    rollout.drop("passing")
    code, told, errors = rollout.deploy(service)

    assert (code, "passing" in told) == (0, False), errors
    eventually(lambda: version(service, "passing") == "backup")


def test_a_model_that_sleeps_is_woken_by_a_request_that_the_backup_answers(service: Service) -> None:
    eventually(lambda: service.status()["models"]["sleeper"]["state"] == "idle")

    answer, _ = service.ask({"text": "x", "max_tokens": 4}, "sleeper")

    assert answer["served_by"] == "backup"
    assert "being woken" in answer["attempts"][0]["reason"]
    eventually(lambda: version(service, "sleeper") == "version 1")


def test_the_models_of_a_pool_answer_from_one_process_however_few_it_holds(service: Service) -> None:
    answers = [service.ask({"text": "x"}, name)[0] for name in ("red", "green", "blue", "red")]

    assert [answer["served_by"] for answer in answers] == ["primary"] * 4
    said = [re.findall(r"version (\d).*process (\d+)", answer["result"])[0] for answer in answers]
    assert [number for number, _ in said] == ["0", "1", "2", "0"]
    assert len({process for _, process in said}) == 1


def test_a_model_of_a_pool_that_cannot_be_loaded_is_answered_for_and_takes_no_other_with_it(service: Service) -> None:
    answer, _ = service.ask({"text": "x", "max_tokens": 4}, "sick")

    assert answer["served_by"] == "backup"
    assert "RuntimeError: no weights for version 3" in answer["attempts"][0]["reason"]
    assert version(service, "green") == "version 1"
    eventually(lambda: service.status()["models"]["sick"]["state"] == "failed")


def test_a_file_that_does_not_fit_is_refused_before_anything_is_submitted(service: Service, rollout: Rollout) -> None:
    rollout.write("steady", arguments={"version": 1}, colour="red")

    code, _, errors = rollout.deploy(service)

    rollout.write("steady", arguments={"version": 1})
    assert code == 1
    assert "colour" in errors
    assert version(service, "steady") == "version 1"
