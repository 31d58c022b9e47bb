"""Decides what `neverblank deploy` submits, and reads from Serve's details what has become of it. Nothing is sent."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deployments.ray_serve.dashboard import Details
from deployments.ray_serve.errors import last_line
from deployments.settings import digest
from deployments.settings.applications import DIGEST_VARIABLE, read_arguments

ApplicationState = Literal["ready", "loading", "leaving", "failed"]
ApplicationChange = Literal["new", "changed", "settings", "unchanged", "removed"]

_STATES: Mapping[str, ApplicationState] = {
    "RUNNING": "ready",
    "DEPLOY_FAILED": "failed",
    "UNHEALTHY": "failed",
    "DELETING": "leaving",
}


@dataclass(frozen=True, slots=True)
class ApplicationProgress:
    """The progress of the deployment of one application.

    Attributes:
        name: the application's.
        change: what was asked for: `settings` are changed in place, an application that has `changed` is replaced.
        state: how it is now.
        replicas: how many replicas take requests, of how many there are.
        why: why it is not ready; empty where it is, or where Serve gives no reason.
    """

    name: str
    change: ApplicationChange
    state: ApplicationState
    replicas: str
    why: str


def submission(config: Mapping[str, Any], file: str, before: Details) -> dict[str, Any]:
    """The Serve config to submit so that exactly what has changed is replaced.

    Args:
        config: the Serve config, read from `file`.
        file: its path, for messages.
        before: Serve's details before the submission.

    Raises:
        SettingsError: the `args` of an application, or a file they name, cannot be read.
    """
    wanted = copy.deepcopy(dict(config))
    for application in wanted["applications"]:
        arguments = read_arguments(application, file)
        if arguments is None:
            continue
        now = digest(*arguments.files)
        running = before["applications"].get(application["name"], {})
        known = _arguments_of(running)
        failed = _STATES.get(running.get("status", "")) == "failed"
        same = known is not None and _without_digest(known) == _without_digest(application.get("args") or {})
        if same and not failed and now in _digests(running):
            application["args"] = known
        else:
            # An application that has failed is tried again though its files are the same: the files that those name may
            # have changed.
            attempt = f"-{time.time():.0f}" if failed else ""
            application["args"] = {**(application.get("args") or {}), "digest": now + attempt}
    return wanted


def progress_of(wanted: Mapping[str, Any], before: Details, now: Details) -> list[ApplicationProgress]:
    """Return the progress of each application that is wanted or still runs, by name.

    Args:
        wanted: the Serve config that was submitted.
        before: Serve's details before the submission.
        now: Serve's details now.
    """
    submitted = {application["name"]: application for application in wanted["applications"]}
    known, found = before["applications"], now["applications"]
    return [
        _progress(name, _change(submitted.get(name), known.get(name)), found.get(name, {}))
        for name in sorted({*submitted, *found})
    ]


def settled(applications: list[ApplicationProgress]) -> bool:
    """Whether no application will change any more."""
    return all(application.state in {"ready", "failed"} for application in applications)


def _progress(name: str, change: ApplicationChange, facts: Mapping[str, Any]) -> ApplicationProgress:
    deployments = list(facts.get("deployments", {}).values())
    replicas = [replica["state"] for deployment in deployments for replica in deployment.get("replicas", ())]
    running = replicas.count("RUNNING")
    state = "leaving" if change == "removed" else _STATES.get(facts.get("status", ""), "loading")
    messages = [deployment.get("message", "") for deployment in deployments] + [facts.get("message", "")]
    reasons = (reason for message in messages if (reason := last_line(message)))
    why = "" if state == "ready" else next(reasons, "")
    if state == "failed" and running:
        why += " (what was there before still serves)"
    return ApplicationProgress(name, change, state, f"{running} of {len(replicas)}", why)


def _change(wanted: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> ApplicationChange:
    if wanted is None:
        return "removed"
    if before is None:
        return "new"
    if _arguments_of(before) != (wanted.get("args") or {}):
        return "changed"
    return "unchanged" if _settings(before.get("deployed_app_config") or {}) == _settings(wanted) else "settings"


def _settings(application: Mapping[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("user_config") for item in application.get("deployments") or () if item["name"]}


def _arguments_of(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    config = facts.get("deployed_app_config")
    return None if config is None else dict(config.get("args") or {})


def _digests(facts: Mapping[str, Any]) -> set[str]:
    """The digests of the files that the deployments of an application were made from."""
    options = [
        (deployment.get("deployment_config") or {}).get("ray_actor_options") or {}
        for deployment in facts.get("deployments", {}).values()
    ]
    environments = [((option.get("runtime_env") or {}).get("env_vars") or {}) for option in options]
    return {found for variables in environments if (found := variables.get(DIGEST_VARIABLE))}


def _without_digest(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != "digest"}
