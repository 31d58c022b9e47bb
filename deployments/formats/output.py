"""The output of a model as an outcome, in its JSON form."""

from typing import Any

import orjson

from deployments.policy.outcome import Failed, Outcome, answered_or_blank

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def output_to_outcome(result: Any) -> Outcome:
    """The outcome of a model that returned `result`, in the form in which the caller will get it.

    Arrays, tensors and sets become lists; dataclasses and pydantic models become objects; pandas frames become lists of
    objects; NaN and infinity become null, as JSON has neither. An output without a JSON form is a failure of the model.
    """
    judged = answered_or_blank(result)  # before NaN becomes null: the reason is to name the real output
    if judged.name == "blank" or (isinstance(result, str) and result.isascii()):
        return judged
    try:
        written = orjson.dumps({"result": {"result": result}}, default=_default, option=_OPTIONS)
    except (TypeError, orjson.JSONEncodeError) as error:
        return Failed(f"the model returned what cannot be written as JSON: {error}")
    # It was written two levels deeper than it is: the answer that carries it must be writable, too.
    return answered_or_blank(orjson.loads(written)["result"]["result"])


def _default(value: Any) -> Any:
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame becomes a list of its rows
        return value.to_dict("records")
    if hasattr(value, "isoformat"):  # a time stamp of pandas
        return value.isoformat()
    if hasattr(value, "model_dump"):  # a pydantic model
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", errors="replace")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
