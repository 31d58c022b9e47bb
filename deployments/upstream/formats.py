"""All formats that upstreams speak, by the names that specs have for them (`api`)."""

from collections.abc import Mapping

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteApi
from deployments.upstream.adaptation import Adaptation
from deployments.upstream.family import FormatOfRemotes
from deployments.upstream.messages.body import MESSAGES, has_messages_feature, write_messages
from deployments.upstream.messages.events import MessageEvents
from deployments.upstream.messages.quirks import MessageAdaptation
from deployments.upstream.responses.body import RESPONSES, has_responses_feature, write_responses
from deployments.upstream.responses.events import ResponseEvents
from deployments.upstream.responses.quirks import ResponseAdaptation
from deployments.upstream.scores import RERANK, SCORE
from deployments.upstream.vectors import VECTORS
from deployments.upstream.wire import CHATS, TEXTS, write_chat

ANTHROPIC_VERSION = "2023-06-01"
"""The version of Anthropic's format that is spoken. The one behind it takes no sampling parameters from anybody."""

_VERSION, _BETA = "anthropic-version", "anthropic-beta"


def _headers_of_messages(request: InferenceRequest, own: Mapping[str, str]) -> Mapping[str, str]:
    """Return Anthropic's headers for `request`; what the operator has set in `own` goes before the version here.

    The features that the caller has opted into stand beside those of the operator.
    """
    betas = ", ".join(told for told in (own.get(_BETA, ""), request.sent.betas) if told)
    version = {} if _VERSION in own else {_VERSION: ANTHROPIC_VERSION}
    return {**version, _BETA: betas} if betas else version


REMOTE_FORMATS: Mapping[RemoteApi, FormatOfRemotes] = {
    "chat": FormatOfRemotes((CHATS, TEXTS, VECTORS, RERANK, SCORE), write_chat, Adaptation),
    "responses": FormatOfRemotes(
        (RESPONSES,), write_responses, ResponseAdaptation, ResponseEvents, has_responses_feature
    ),
    "messages": FormatOfRemotes(
        (MESSAGES,), write_messages, MessageAdaptation, MessageEvents, has_messages_feature, _headers_of_messages
    ),
}
