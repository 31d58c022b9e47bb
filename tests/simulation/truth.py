"""Whether an answer tells the truth: its trace against the calls that were made for it, its words against theirs."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from deployments.settings import PolicySettings
from tests.simulation.client import Exchange
from tests.simulation.happenings import in_force
from tests.simulation.record import Call
from tests.simulation.told import Told
from tests.simulation.world import Run


def compared(told: Told, calls: list[Call], done: Exchange) -> Iterator[str]:
    """Each attempt is a call, in the order of their starts, but for those that were refused before they were made.

    An attempt on a remote model may be two: one that was answered with an error, and a second try at once without the
    field of ours that may be to blame, or on a fresh connection. The second stands wherever it was started: by then
    other models may have been asked beside the first, and their attempts stand behind its attempt.
    """

    @cache
    def fits(attempt_at: int, left: tuple[int, ...]) -> bool:
        """Whether the attempts from that one on are the calls that are `left`."""
        if attempt_at == len(told.attempts):
            return not left
        attempt = told.attempts[attempt_at]
        if left:
            first, *others = left
            for each in (first, *[each for each in others if _is_second_try(calls[first], calls[each])]):
                agrees = calls[each].model == attempt["model"] and _agrees(calls[each], attempt, done)
                if agrees and fits(attempt_at + 1, tuple(other for other in others if other != each)):
                    return True
        made_none = attempt["outcome"] == "refused" or (attempt["outcome"] == "cancelled" and attempt["ms"] == 0)
        return made_none and fits(attempt_at + 1, left)

    if not fits(0, tuple(range(len(calls)))):
        tried = [(attempt["model"], attempt["outcome"], attempt["reason"][:40]) for attempt in told.attempts]
        yield f"attempts {tried} are not the calls {[(call.model, call.outcome, call.number) for call in calls]}"


def _is_second_try(first: Call, second: Call) -> bool:
    """Whether `second` may have been made within the attempt of `first`: at once, as that had given nothing."""
    same = first.model == second.model and first.outcome in ("failed", "rejected") and not first.texts
    return same and first.ended is not None and second.started == first.ended


def _agrees(call: Call, attempt: dict[str, Any], done: Exchange) -> bool:
    """Whether what an attempt says can be how the call ended."""
    said = attempt["outcome"]
    if call.outcome in ("cancelled", "closed") or call.ended is None:
        return said in _CUT_OFF
    if f"c{call.number}c" in attempt["reason"]:
        return True
    allowed = {call.outcome} | _ALSO.get(call.outcome, set())
    if call.outcome == "failed" and attempt["reason"].startswith("it answered"):
        allowed.add("refused")  # it named a time after which to come back
    if call.outcome == "rejected" and call.prefix:
        allowed.add("refused")
    if done.ask.form and call.outcome == "answered":
        allowed.add("failed")
    if call.prefix and call.outcome == "blank":
        allowed.add("answered")
    return said in allowed


_CUT_OFF = frozenset({"cancelled", "timed_out", "answered", "failed"})
"""How an attempt ends whose call was ended from outside: a loser, a stall, the bound of a stream, a bug of a caller."""

_ALSO = {
    name: {"cancelled", "timed_out"} for name in ("answered", "failed", "blank", "refused", "rejected", "timed_out")
}
_ALSO["answered"] |= {"withheld"}  # and rescued by the policy


def provenance(told: Told, done: Exchange) -> Iterator[str]:
    """Who is said to have answered is one of those of whom the trace says so, and the tiers agree."""
    if told.is_last_resort != (told.served_by == "last_resort"):
        yield f"{told.model} of the tier {told.served_by}"
    in_head = done.headers.get("x-neverblank-served-by", "")
    if done.ask.prompts == 1 and not done.ask.stream and in_head != told.served_by:
        yield f"{in_head} in the head, and {told.served_by} in the body"
    if told.is_last_resort:
        if not told.degraded:
            yield "a last resort that is not degraded"
    elif not any(each["model"] == told.model and each["outcome"] == "answered" for each in told.attempts):
        yield f"{told.model} is said to have answered, and no attempt on it has"


def wording(run: Run, told: Told, calls: list[Call], done: Exchange) -> Iterator[str]:
    """All that is said was said by models that were asked this, the last of it by the one named; or is the apology."""
    said = told.text + str(told.tool_calls)
    models = {call.number: call.model for call in calls}
    numbers = [int(number) for number in _SAYS.findall(said)]
    if strange := [number for number in numbers if number not in models]:
        yield f"{said!r} is of the calls {strange}, which were not made for it"
    else:
        # Anthropic's stream names one model at its head; who else wrote of it stands in its trace.
        writers = {told.model, *told.writers, *[each["model"] for each in told.attempts if "from_character" in each]}
        if told.writers and (others := {models[number] for number in numbers} - writers):
            yield f"{said!r} is of {others}, and said to be of {writers}"
    policies = in_force(run.world.policy, run.record, done.started, done.ended or 0.0)
    messages = {each.get("last_resort", {}).get("message", _APOLOGY) for each in policies}
    is_apology = told.text.endswith(tuple(messages))
    if told.model and told.is_last_resort != is_apology:
        yield f"{told.text!r} is said to be of {told.model}"
    if not numbers and not is_apology and told.finish_reason != "content_filter":
        yield f"{said!r} is nothing that any model has said"
    if numbers and told.model and not told.writers and models.get(numbers[-1]) != told.model:
        yield f"{said!r} is nothing that {told.model} has said"


_SAYS = re.compile(r"c(\d+)c")
"""By which every call marks what it says."""

_APOLOGY = PolicySettings().last_resort.message
