"""What a router says of a model whose first replica loads: a sentence of ours, or what Serve knows and we do not."""

import pytest

from deployments.policy.outcome import Refused
from deployments.ray_serve.cluster import DeployedApplication
from deployments.router.registered_model import RegisteredModel
from tests.serving import Replica


@pytest.mark.parametrize(
    ("message", "since", "reason"),
    [
        ("", 60.0, "loading its weights, 40 s so far"),
        ("OSError: no weights", 60.0, "OSError: no weights"),
        ("", 0.0, "no replica has started yet"),
    ],
)
async def test_the_trace_and_the_status_say_how_long_a_model_has_been_loading(
    message: str, since: float, reason: str
) -> None:
    application = DeployedApplication("m", "DEPLOYING", message, 0, 1, 1.0, starting_since=since)
    model = RegisteredModel(application, Replica(), wall_clock=lambda: 100.0)

    refused = await model.start(None, 1.0)  # type: ignore[arg-type]  # it does not get as far as the request

    assert refused == Refused(f"not ready: {reason}", soon=True)
    if since:
        assert model.to_json()["reason"] == reason
