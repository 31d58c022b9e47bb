"""Remote models: OpenAI-compatible upstreams, called by the router itself.

May import: policy, request, settings, observability, execution.

    pool.py         all upstreams, replaced while requests are under way
    client.py       one upstream: a `ModelClient`
    connection.py   the pooled connections of an upstream, and the secrets that they carry
    wire.py         from a request to a body, from a completion to an outcome
    stream.py       from chunks to texts and an end
    sse.py          from bytes to events
    faults.py       from errors to outcomes
    redaction.py    removes secrets from error messages

The race keeps the time and cancels attempts. Only the connect timeout is kept here.
"""

from deployments.upstream.client import Upstream
from deployments.upstream.pool import UpstreamPool

__all__ = ["Upstream", "UpstreamPool"]
