"""Remote models: upstreams of OpenAI's formats or of Anthropic's, called by the router itself.

May import: policy, request, settings, observability, execution.

    pool.py         all upstreams, replaced while requests are under way
    client.py       one upstream: a `ModelClient`
    endpoints.py    which of its endpoints is asked, and which of them next
    tries.py        asks the next endpoint where one fails or is silent
    connection.py   the pooled connections of an endpoint, and the secrets that they carry
    passage.py      what travels along: where a request has been, how long it may take
    adaptation.py   what of ours a remote does not take
    continuation.py how a remote is asked in words to go on
    complaints.py   reads errors, whatever their shape
    causes.py       whose fault an error is
    naming.py       what a caller calls the field that an error names
    mistakes.py     tells those of a caller from everything else
    waits.py        when a provider wants to be asked again
    family.py       what a format consists of; formats.py: all of them; messages/: Anthropic's
    responses/      OpenAI's Responses
    translation.py  answers of other formats as those of chats
    wire.py         from a request to a body; text_form.py: what text completions have of their own
    vectors.py      the same of vectors, and from a body to those; scores.py: of scores
    reading.py      from a response to the items of an answer: those below, put together
    plain.py        nearly every whole answer, read at once
    encodings.py    from encoded bytes to bytes
    decoding.py     from bytes to JSON
    sse.py          from bytes to events
    stream.py       from events to texts and an end
    choice.py       one choice of a completion
    contents.py     contents of messages, and token counts
    thinking.py     what a model thinks within its text
    tool_calls.py   tool calls, put together
    finish.py       the table of finish reasons
    faults.py       from errors to outcomes
    redaction.py    makes messages safe for callers

The race keeps the time and cancels attempts. Only the connect timeout is kept here.
"""

from deployments.upstream.client import Upstream
from deployments.upstream.pool import UpstreamPool

__all__ = ["Upstream", "UpstreamPool"]
