"""The attributes of spans, by OpenTelemetry's semantic conventions for generative AI (`gen_ai.*`, in development).

What those have no word for is below `neverblank.`.
"""

from typing import Any

import orjson

from deployments.policy.attempt import Ended
from deployments.policy.outcome import Answered, Finished, Usage
from deployments.policy.reason import cut, well_formed

PROVIDER = "neverblank"
MAX_CONTENT_CHARACTERS = 4096
"""The longest text of a request or an answer in a span, where content is told at all."""


def of_usage(usage: Usage | None) -> dict[str, Any]:
    """Return the counts of tokens."""
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }


def of_model(operation: str, model: str) -> dict[str, Any]:
    """Return what is asked of whom."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": model,
    }


def of_attempt(operation: str, attempt: Ended, model: str, *, content: bool) -> tuple[dict[str, Any], str]:
    """Return the attributes of an attempt, and why it failed; empty where it did not."""
    line = attempt.to_json(quotes=content)
    attributes = {
        **of_model(operation, model),
        "neverblank.tier": line["tier"],
        "neverblank.why": line["why"],
        "neverblank.outcome": line["outcome"],
    }
    outcome = attempt.outcome
    if isinstance(outcome, (Answered, Finished)):
        attributes |= {
            "gen_ai.response.model": model,
            "gen_ai.response.finish_reasons": [outcome.finish_reason],
            **of_usage(outcome.usage),
        }
        return attributes, ""
    attributes["neverblank.reason"] = line["reason"]
    if line["outcome"] == "cancelled":  # it was no longer needed
        return attributes, ""
    attributes["error.type"] = line["outcome"]
    return attributes, line["reason"] or line["outcome"]


def of_text(role: str, text: str) -> str:
    """Return a message in the conventions' form, as JSON."""
    part = {"type": "text", "content": well_formed(cut(text, MAX_CONTENT_CHARACTERS))}
    return orjson.dumps([{"role": role, "parts": [part]}]).decode()
