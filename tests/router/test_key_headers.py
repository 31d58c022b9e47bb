"""What a key with limits has left, told with what nobody answers."""

import pytest

from tests.router.locked import Lock


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/v1/nothing", 404, "x-ratelimit-remaining-requests"),
        ("/v1/chat/completions", 405, "x-ratelimit-remaining-requests"),
        ("/v1/messages/nothing", 404, "anthropic-ratelimit-requests-remaining"),
        ("/v1/messages", 405, "anthropic-ratelimit-requests-remaining"),
    ],
)
async def test_what_is_left_is_told_where_there_is_no_such_path_or_method_too(
    lock: Lock, path: str, status: int, name: str
) -> None:
    response = await lock({"k": {"requests_per_minute": 3}}).ask(path=path)

    assert (response.status_code, response.headers[name]) == (status, "3")
    assert status == 404 or response.headers["allow"] == "POST, OPTIONS"
