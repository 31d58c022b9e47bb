"""Where a service listens: who has started it is told when it can be asked."""

import pytest

from deployments.cli.port import address_of, announce_when_ready
from tests.cli.serving import listening
from tests.http.service import ScriptedService


class StartingService(ScriptedService):
    """A service whose model loads until it is said to be up."""

    up = False

    async def readiness_of_all(self) -> dict[str, bool]:
        return {"primary": self.up, "backup": False, "last_resort": True}


def test_one_line_says_when_a_model_can_answer(capsys: pytest.CaptureFixture[str]) -> None:
    service = StartingService()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        service.up = len(pauses) > 1

    with listening(service) as url:
        announce_when_ready(("0.0.0.0", int(url.rpartition(":")[2])), lambda: True, sleep=sleep)  # noqa: S104 - asked

        assert capsys.readouterr().err.count(f"ready, see {url}/") == 1
    assert len(pauses) > 1


def test_nothing_is_said_of_a_service_that_ends_before(capsys: pytest.CaptureFixture[str]) -> None:
    runs = iter([True, True, False])

    announce_when_ready(("127.0.0.1", 0), lambda: next(runs), sleep=lambda _: None)

    assert capsys.readouterr() == ("", "")


def test_without_an_address_in_the_config_it_is_that_of_serve() -> None:
    assert address_of({}) == ("127.0.0.1", 8000)
    assert address_of({"http_options": {"host": "::1", "port": 9}}) == ("::1", 9)
