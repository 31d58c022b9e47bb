"""What the formats of upstreams have in common: a writer of requests, a reader of answers, what is refused by some."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from deployments.observability import log
from deployments.policy.outcome import Refused, Rejected
from deployments.request import InferenceRequest, ResponseFormat
from deployments.request.fields import kind
from deployments.request.inference import Feature
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.complaints import Complaint
from deployments.upstream.translation import Translator


class Written(NamedTuple):
    """A request as it is sent.

    Attributes:
        path: where to, below a base URL.
        body: the body; its outermost object and its `messages` belong to whoever asked for it.
        dropped: the names of the sampling parameters that have no place in it.
    """

    path: str
    body: dict[str, Any]
    dropped: tuple[str, ...] = ()


class UnwritableError(Exception):
    """A field of a request, whose values nobody has checked before, has none that its format could be given.

    Attributes:
        field: the field; the text says what it is and what is accepted.
    """

    def __init__(self, field: str, value: Any, accepted: str) -> None:
        """Refuse `value`."""
        super().__init__(f"{field} is {kind(value)}; accepted: {accepted}")
        self.field = field


def require_objects(fields: Mapping[str, Any], names: Iterable[str]) -> None:
    """Hold those fields of `names` that are there to being objects, as others are put into them.

    Raises:
        UnwritableError: one is none.
    """
    for name in names:
        if name in fields and not isinstance(fields[name], Mapping):
            raise UnwritableError(name, fields[name], "an object")


class Adapts(Protocol):
    """What one upstream has shown not to take although it is a part of its format."""

    def adapt(self, body: dict[str, Any], request: InferenceRequest, tried: frozenset[Enum]) -> tuple[str, ...]:
        """Change `body` for what is known, or `tried` in this attempt; returns the names of what the caller loses."""
        ...

    def learn(self, tried: frozenset[Enum]) -> None:
        """Remember that the upstream has answered without what is `tried`."""
        ...

    def find(self, complaint: Complaint, body: Mapping[str, Any], request: InferenceRequest) -> Enum | None:
        """Return what to do without in the place of `body`; `None` where the complaint is about something else."""
        ...


class Write(Protocol):
    """Writes requests."""

    def __call__(self, request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> Written:
        """Return the `POST` for `request`, whose answer is to be streamed or not.

        Raises:
            UnwritableError: a field has a value that has no place in the format.
        """
        ...


def form_elsewhere(request: InferenceRequest) -> ResponseFormat:
    """Return the form of the answer for models of another format than that of `request`: without a provider's tools."""
    wanted = request.response_format
    tools = tuple(tool for tool in wanted.tools if tool["type"] in {"function", "custom"})
    if not request.sent.api or len(tools) == len(wanted.tools):
        return wanted
    return replace(wanted, tools=tools) if tools else ResponseFormat(wanted.constraint)


class FormatOfRemotes(Struct, frozen=True):
    """One format that upstreams speak. A remote model is given its own once, when it is declared.

    Attributes:
        paths: where requests are sent to, below a base URL.
        write: writes requests.
        adapts: returns what remembers the quirks of one upstream.
        translator: returns a reader of one response, which keeps what has no place in a chat as it was written where
            the caller speaks the format, too; `None` for chats, in whose form all answers are read.
        has: whether a feature of a request has a place in the format; `None` for chats, which `Offer` tells of.
        headers: returns the headers that only this format has; `None` where it has none.
    """

    paths: tuple[str, ...]
    write: Write
    adapts: Callable[[RemoteSpec], Adapts]
    translator: Callable[[bool], Translator] | None = None
    has: Callable[[Feature, InferenceRequest], bool] | None = None
    headers: Callable[[InferenceRequest, Mapping[str, str]], Mapping[str, str]] | None = None

    def written(self, request: InferenceRequest, spec: RemoteSpec) -> Written | Rejected | Refused:
        """Return the `POST` for `request`, or why there is none: that says nothing about the model."""
        try:
            return self.write(request, spec, stream=request.stream)
        except UnwritableError as error:
            return Rejected(str(error), error.field, elsewhere=True)
        except Exception as error:  # noqa: BLE001 - a bug of ours
            log.internal_error("writing a request", spec.model, error)
            return Refused("the request could not be written in its format")
