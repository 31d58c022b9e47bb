"""What a request for a response refers to instead of sending it: an earlier response, and items of it.

    previous_response_id    the conversation that ended with that response
    item_reference          an item that a response has given; the AI SDK sends these unless it is told `store: false`

The id of an item has the key of its response in it: see `response_items`.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from deployments.access.holder import HOLDER
from deployments.execution.clock import loop_time
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.fields import read_name
from deployments.storage.keeper import ResponseKeeper
from deployments.storage.store import RecordMissingError

MOST_REFERRED = 64
"""Responses that the references of one request may lead to."""

_RESPONSE = re.compile(r"resp_([0-9a-f]{32})", re.ASCII)
_ITEM = re.compile(r"[a-z]{2,4}_([0-9a-f]{32})(?:_\d{1,4})?", re.ASCII)
_PREVIOUS = "previous_response_id"


def key_of_response(name: str) -> str:
    """Return the key of the response with the id `name`.

    Raises:
        RecordMissingError: it is the id of none.
    """
    if (found := _RESPONSE.fullmatch(name)) is None:
        raise RecordMissingError(name[:64])
    return found[1]


def owned(key: str) -> str:
    """Return `key` as the caller's own: what one caller has kept, no other one finds, goes on with or deletes."""
    holder = HOLDER.get()
    return key if holder is None else f"{holder.id}-{key}"


def missing_response(field: str, keeper: ResponseKeeper) -> InvalidRequestError:
    """Return the error that says that a response is not kept."""
    said = "is that of no response that is kept" if keeper.is_on else "is given, and no responses are kept here"
    if field == _PREVIOUS:
        accepted = "the whole conversation in input"
        return InvalidRequestError(Problem(field, said, accepted, code="previous_response_not_found"))
    return InvalidRequestError(Problem(field, said, "the id of a response that is kept", 404))


async def conversation_before(
    data: Mapping[str, Any], keeper: ResponseKeeper, limits: Limits, found_by: float
) -> tuple[Mapping[str, Any], ...]:
    """Return the items of the conversation that `previous_response_id` stands for; none where there is no such field.

    The store has until `found_by`, on the loop's clock.

    Raises:
        InvalidRequestError: it is not kept, or is larger than a request may be.
        StoreUnreachableError: it cannot be found now.
    """
    name = read_name(data, _PREVIOUS)
    if not name:
        return ()
    if not keeper.is_on:
        raise missing_response(_PREVIOUS, keeper)
    try:
        before = (await keeper.find(owned(key_of_response(name)), found_by - loop_time())).items
    except RecordMissingError as error:
        raise missing_response(_PREVIOUS, keeper) from error
    if len(orjson.dumps(before)) > limits.max_bytes:
        accepted = f"a conversation of at most {limits.max_bytes} bytes"
        raise InvalidRequestError(Problem(_PREVIOUS, "stands for one that is too large", accepted, 413))
    return before


async def with_items(
    data: Mapping[str, Any], keeper: ResponseKeeper, limits: Limits, found_by: float
) -> Mapping[str, Any]:
    """Return the request with the items themselves in the place of references to them.

    A reference to what is not kept stays, and is refused where items are read. All of them together are found until
    `found_by`, and are no larger than a request may be: a reference is short, and what it leads to is not.

    Raises:
        InvalidRequestError: the references lead to more responses than anybody needs, or to more than a request holds.
        StoreUnreachableError: an item cannot be found now.
    """
    sent = data.get("input")
    if not keeper.is_on or not isinstance(sent, list):
        return data
    places = {place: item["id"] for place, item in enumerate(sent) if _refers(item)}
    if not places:
        return data
    keys = {found[1] for name in places.values() if (found := _ITEM.fullmatch(name))}
    if len(keys) > MOST_REFERRED:
        said = f"refers to items of {len(keys)} responses"
        raise InvalidRequestError(Problem("input", said, f"those of at most {MOST_REFERRED}"))
    items: dict[str, Any] = {}
    for key in keys:
        try:
            kept = await keeper.find(owned(key), found_by - loop_time())
        except RecordMissingError:
            continue
        items |= {item["id"]: item for item in kept.body["output"]}
    sizes = {name: len(orjson.dumps(items[name])) for name in set(places.values()) & items.keys()}
    if sum(sizes.get(name, 0) for name in places.values()) > limits.max_bytes:
        raise InvalidRequestError(Problem("input", "refers to too much", f"items of {limits.max_bytes} bytes", 413))
    return {**data, "input": [items.get(places.get(place, ""), item) for place, item in enumerate(sent)]}


def _refers(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "item_reference" and isinstance(item.get("id"), str)
