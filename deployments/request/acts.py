"""What an operator asks for: see `router.interventions`.

{"act": "hold", "model": "qwen"}       its breaker is held open
{"act": "drain", "model": "qwen"}      it is asked nothing new
{"act": "release", "model": "qwen"}    neither any more
{"act": "reset", "model": "qwen"}      its breaker closes, and what speaks against it is forgotten
{"act": "shift", "share": 0.1}         so many requests begin with the backup
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_MODEL_NAME, refuse


class ActKind(StrEnum):
    """What is to be done."""

    HOLD = "hold"
    DRAIN = "drain"
    RELEASE = "release"
    RESET = "reset"
    SHIFT = "shift"


class Act(Struct, frozen=True):
    """One act.

    Attributes:
        kind: what is to be done.
        model: the model that it is done to; empty for `shift`.
        share: the share of requests that begin with the backup, from 0 to 1; 0 for all but `shift`.
    """

    kind: ActKind
    model: str = ""
    share: float = 0.0


def read_act(data: Mapping[str, Any]) -> Act:
    """Read an act.

    Raises:
        InvalidRequestError: it is none; the problem names the field.
    """
    if unknown := sorted(map(str, data.keys() - {"act", "model", "share"})):
        raise InvalidRequestError(Problem(unknown[0][:MAX_MODEL_NAME], "is no field", "act, model, share"))
    kind, model, share = data.get("act"), data.get("model"), data.get("share")
    if not isinstance(kind, str) or kind not in list(ActKind):
        raise refuse("act", kind, f"one of: {', '.join(ActKind)}")
    if kind == ActKind.SHIFT:
        if model is not None:
            raise InvalidRequestError(Problem("model", "is set, and the share is of all requests", "no model"))
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not math.isfinite(share):
            raise refuse("share", share, "a number from 0 to 1")
        if not 0 <= share <= 1:
            raise InvalidRequestError(Problem("share", "is out of range", "a number from 0 to 1"))
        return Act(ActKind.SHIFT, share=float(share))
    if share is not None:
        raise InvalidRequestError(Problem("share", f"is set, and {kind} takes none", "no share"))
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_NAME:
        raise refuse("model", model, f"the name of a model, of at most {MAX_MODEL_NAME} characters")
    return Act(ActKind(kind), model)
