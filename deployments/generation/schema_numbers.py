"""The numbers in a JSON Schema: the bounds of a value, and counts of characters and items."""

import math
from collections.abc import Mapping
from typing import Any

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
"""The keywords for the bounds of a number."""

_MOST_NUMBER = 10**15


def write_number(sort: str, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the bounds of `schema` anew, whose type is `sort`: `integer` or `number`. `None` where nothing fits it."""
    low, high = (-math.inf, math.inf)
    for keyword, value in ((keyword, _bound(schema, keyword)) for keyword in BOUNDS):
        if value is None:
            continue
        match sort, keyword:
            case "integer", "exclusiveMinimum":
                low = max(low, math.floor(value) + 1)
            case "integer", "exclusiveMaximum":
                high = min(high, math.ceil(value) - 1)
            case _, "minimum" | "exclusiveMinimum":
                low = max(low, math.ceil(value) if sort == "integer" else value)
            case _, "maximum" | "exclusiveMaximum":
                high = min(high, math.floor(value) if sort == "integer" else value)
    if low > high:
        return None
    bounds = {keyword: value for keyword, value in (("minimum", low), ("maximum", high)) if abs(value) <= _MOST_NUMBER}
    return {"type": sort, **bounds}


def _bound(schema: Mapping[str, Any], keyword: str) -> float | None:
    value = schema.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def count_of(schema: Mapping[str, Any], keyword: str) -> int | None:
    """The count that `keyword` sets in `schema`; `None` where it sets none."""
    value = _bound(schema, keyword)
    return None if value is None else max(0, int(value))
