"""All routers of the service at once: what each of them answers to one question."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.policy.reason import reason_of

ASK_ROUTERS_S = 2.0
"""Seconds that the routers are given to answer a question to all of them."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the routers have answered to one question.

    Attributes:
        answers: those of the routers that have answered, in no order.
        reasons: for each router that was asked and has not answered, why.
    """

    answers: Sequence[Any] = ()
    reasons: Sequence[str] = ()


async def ask_each(routers: DeploymentHandle, question: str, *arguments: Any) -> Heard:
    """Call the method `question` of every router with `arguments`; one that does not answer hides no other one.

    Serve's own way to collect the results of a broadcast raises where one is late, and gives none of the others.
    Private to Serve: see tests/ray_serve/contract.py.

    Raises whatever Serve raises where no router can be asked at all.
    """
    async with asyncio.timeout(ASK_ROUTERS_S):
        results = await routers.broadcast(question, *arguments)._fetch_replica_results_async()  # noqa: SLF001
    asking = [asyncio.ensure_future(result.get_async()) for result in results]
    try:
        if asking:
            await asyncio.wait(asking, timeout=ASK_ROUTERS_S)
    finally:  # also where whoever asked has gone: a silent router would keep the call for ever
        late = [(each, result) for each, result in zip(asking, results, strict=True) if not each.done()]
        for each, result in late:
            each.cancel()
            result.cancel()
    answers, reasons = [], []
    for each in asking:
        if not each.done():
            reasons.append(f"no answer within {ASK_ROUTERS_S:g} s")
        elif each.cancelled():
            reasons.append("the call was cancelled")
        elif (error := each.exception()) is not None:
            reasons.append(reason_of(error))
        else:
            answers.append(each.result())
    return Heard(answers, reasons)
