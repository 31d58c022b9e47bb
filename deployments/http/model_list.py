"""The list of models in Anthropic's form, for clients that say by a header that they speak it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_VERSION = "anthropic-version"


def is_anthropics(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a client of Anthropic's; `headers` are by their names in lower case."""
    return _VERSION in headers


def anthropic_models(listed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a list of models in OpenAI's form in Anthropic's: one page, which has all of them."""
    data = [anthropic_model(facts) for facts in listed["data"]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def anthropic_model(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model in OpenAI's form in Anthropic's, with its `state` beside the fields of the form."""
    created = datetime.fromtimestamp(facts["created"], UTC).isoformat().replace("+00:00", "Z")
    name = facts["id"]
    form = {"id": name, "type": "model", "display_name": name, "created_at": created, "lifecycle": "active"}
    return {**form, "state": facts["state"]}
