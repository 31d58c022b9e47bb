"""The log lines of the service: one function for each event.

Every line is one JSON object on standard error; Ray keeps standard error in the session's log files, and shows it on
the console of `serve run`. A thread writes the lines (`log_writer`). No line has credentials in it, and none has
content of requests unless `log_content` is set: of an exception that the code of a model has raised, a line has the
type and the place and not the message, which may quote a request. Whatever is in a line has a bound.
"""

import logging
from collections.abc import Mapping
from typing import Any

from deployments.observability import metrics
from deployments.observability.logger import logger
from deployments.policy.answer import Answer
from deployments.policy.attempt import trace_to_json
from deployments.policy.breaker import BreakerState, Closed
from deployments.policy.reason import locate_error, message_of, trace_without_messages


def fallback(facts: Mapping[str, Any], text: str) -> None:
    """Another model than the first candidate has answered: its `fallback_facts`; without content, `text` is empty."""
    logger().warning("fallback", **facts, **({"text": text} if text else {}))


def fallback_facts(
    request_id: str, asked: str, answer: Answer, seconds: float, *, quotes: bool = False
) -> dict[str, Any]:
    """Return what is told of a fallback; without `quotes` nothing of it is content."""
    return {
        "request_id": request_id,
        "asked": asked,
        "served_by": answer.served_by.value,
        "model": answer.model,
        "ms": round(seconds * 1000, 1),
        "attempts": trace_to_json(answer.attempts, quotes=quotes),
    }


def breaker_changed(model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
    """A model's breaker opened, closed or went half-open."""
    metrics.breaker_moved(model, type(after).__name__.lower())
    level = logging.INFO if isinstance(after, Closed) else logging.WARNING
    logger().log(
        level,
        "breaker_changed",
        model=model,
        before=type(before).__name__.lower(),
        after=type(after).__name__.lower(),
        reason=reason,
    )


def model_loading(model: str) -> None:
    """A replica has begun to load its model."""
    logger().info("model_loading", model=model)


def model_ready(model: str, seconds: float, **details: Any) -> None:
    """A replica has loaded its model."""
    logger().info("model_ready", model=model, seconds=round(seconds, 2), **details)


def model_failed(model: str, reason: str, error: BaseException | None = None) -> None:
    """A replica could not load its model, and will refuse every request."""
    logger().error("model_failed", model=model, reason=reason, exc_info=error)


def model_raised(model: str, error: BaseException) -> None:
    """A model's own code raised while it answered. The line has no message, as that may quote the request."""
    logger().warning("model_raised", model=model, reason=locate_error(error), exception=trace_without_messages(error))


def model_stalled(model: str, seconds: float) -> None:
    """The work of a model does not advance: its replica fails its health check, and is about to be replaced."""
    logger().error("model_stalled", model=model, seconds=round(seconds, 1))


def model_found(model: str) -> None:
    """The router has found a model among the running applications."""
    logger().info("model_found", model=model)


def model_gone(model: str) -> None:
    """A model that the router knew is no longer served."""
    logger().info("model_gone", model=model)


def keys_read(count: int, trouble: str) -> None:
    """The file of the keys was read: so many are in force. With `trouble`, it does not fit, and those before stay."""
    if trouble:
        logger().error("keys_refused", keys=count, reason=trouble)
    else:
        logger().info("keys_read", keys=count)


def discovery_failed(reason: str) -> None:
    """Serve could not be asked which models run; the router keeps the state that it knows."""
    logger().warning("discovery_failed", reason=reason)


def replica_unresponsive(model: str, actor: str, seconds: float) -> None:
    """A replica owes this router an answer and has not answered a ping: it is not asked until it answers one."""
    logger().warning("replica_unresponsive", model=model, actor=actor, seconds=seconds)


def replica_fruitless(model: str, failures: int, seconds: float) -> None:
    """A replica that has answered before fails or hangs every request: it fails its health check, to be replaced."""
    logger().error("replica_fruitless", model=model, failures=failures, seconds=round(seconds, 1))


def replica_ejected(model: str, actor: str) -> None:
    """A replica has failed or hung several calls in a row: for a while others of the model are asked."""
    logger().warning("replica_ejected", model=model, actor=actor)


def replica_responsive(model: str, actor: str) -> None:
    """A replica that was unresponsive answers again, and is asked again."""
    logger().info("replica_responsive", model=model, actor=actor)


def routers_not_asked(reason: str) -> None:
    """The routers could not all be asked: `/readyz` then answers 503, and `/status` tells what one router knows."""
    logger().warning("routers_not_asked", reason=reason)


def policy_changed(policy: dict[str, Any]) -> None:
    """A router has put a policy in force; `policy` has the values that differ from the defaults."""
    logger().info("policy_changed", policy=policy)


def policy_refused(reason: str) -> None:
    """A router has refused a changed policy; the previous one stays in force."""
    logger().error("policy_refused", reason=reason)


def internal_error(where: str, model: str, error: BaseException) -> None:
    """A bug of this service has raised. The caller is answered all the same; please report the bug."""
    logger().error("internal_error", where=where, model=model, reason=message_of(error), exc_info=error)


def task_ended(task: str, reason: str, error: BaseException | None) -> None:
    """A background task of a router, which is meant to run for ever, has ended and is restarted."""
    logger().error("task_ended", task=task, reason=reason, exc_info=error)


def expectation_unheard(model: str, reason: str) -> None:
    """The backup could not be told the expected requests; it is scaled by its queue alone."""
    logger().warning("expectation_unheard", model=model, reason=reason)


def engine_not_used(model: str, engine: str, reason: str) -> None:
    """A model is served by the portable engine instead of the one that is meant for it."""
    logger().warning("engine_not_used", model=model, engine=engine, reason=reason)


def recommendation_ignored(model: str, parameter: str, accepted: str) -> None:
    """A model recommends a sampling parameter that no request may have: requests go without it."""
    logger().warning("recommendation_ignored", model=model, parameter=parameter, accepted=accepted)


def not_exported(model: str, reason: str) -> None:
    """The fast form of a GGUF model could not be made or kept, so every start reads the GGUF file, which is slow."""
    logger().warning("not_exported", model=model, reason=reason)


def engine_ended(model: str, status: int) -> None:
    """The process of a model's engine has ended, and is restarted; a negative status is the number of a signal."""
    logger().error("engine_ended", model=model, status=status)


def server_starting(model: str, engine: str, process: int, file: str) -> None:
    """A replica has started the server of its model; `file` has what the server writes."""
    logger().info("server_starting", model=model, engine=engine, process=process, file=file)


def server_ended(model: str, reason: str, file: str) -> None:
    """The server of a model has ended, was ended, or could not be started again; it is started again."""
    logger().error("server_ended", model=model, reason=reason, file=file)


def canary_changed(*, sound: bool, reason: str) -> None:
    """The backup has failed so often that it counts as unsound, or it is sound again."""
    logger().log(logging.INFO if sound else logging.ERROR, "canary_changed", sound=sound, reason=reason)


def cache_changed(reason: str) -> None:
    """The store of earlier answers cannot be used, for that reason; or, without one, it can again."""
    logger().log(logging.WARNING if reason else logging.INFO, "cache_changed", usable=not reason, reason=reason)


def intervened(holds: dict[str, str], backup_share: float) -> None:
    """An operator has held, drained or released a model, or moved traffic; this is what holds now."""
    logger().warning("intervened", holds=holds, backup_share=backup_share)


class SourceEvents:
    """The events of `sources`, as log lines."""

    def source_tried(self, source: str) -> None:
        """A source is asked for the weights."""
        logger().info("source_tried", source=source)

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        """A snapshot was verified and mapped."""
        metrics.snapshot("loaded")
        logger().info("snapshot_loaded", snapshot=name, seconds=round(seconds, 2))

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        """A snapshot of `size` bytes was published."""
        metrics.snapshot("built")
        logger().info("snapshot_built", snapshot=name, bytes=size, seconds=round(seconds, 2))

    def conversion_begun(self, name: str) -> None:
        """The form of a model for the fast engine of CPUs is made."""
        logger().info("conversion_begun", snapshot=name)

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        """A snapshot failed verification and is rebuilt."""
        metrics.snapshot("set_aside")
        logger().error("snapshot_set_aside", snapshot=name, reason=reason)

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        """No snapshot could be written; the model is served all the same."""
        metrics.snapshot("not_kept")
        logger().error("snapshot_not_kept", snapshot=name, reason=reason)

    def source_failed(self, source: str, reason: str) -> None:
        """A source could not give the weights; the next is tried."""
        logger().warning("source_failed_over", source=source, reason=reason)

    def source_loaded(self, source: str, seconds: float) -> None:
        """The weights were loaded from a source."""
        logger().info("source_loaded", source=source, seconds=round(seconds, 2))

    def waiting_for_builder(self, name: str) -> None:
        """Another process of this node is building the snapshot."""
        logger().info("waiting_for_builder", snapshot=name)


def upstream_misconfigured(model: str, reason: str) -> None:
    """A remote model refuses our requests, or cannot be reached, for a reason that only the operator can remove."""
    logger().error("upstream_misconfigured", model=model, reason=reason)


def upstream_event_skipped(model: str, reason: str, count: int) -> None:
    """Events of a remote model's response could not be read, and were left out; told once a response and reason."""
    logger().warning("upstream_event_skipped", model=model, reason=reason, count=count)


def store_unreachable(reason: str) -> None:
    """The store of responses could not be asked: one is not kept, or cannot be found now."""
    logger().error("store_unreachable", reason=reason)
