"""Remote models: OpenAI-compatible upstreams, called by the router itself.

May import: policy, request, settings, observability, execution.

    pool.py         all of them, changed while requests are under way
    client.py       one of them: a `ModelClient`
    connection.py   its pooled connections, and the secrets they carry
    wire.py         request to body, completion to outcome
    stream.py       chunks to texts and an end
    sse.py          bytes to events
    faults.py       whatever else can happen, as an outcome
    redaction.py    what may be said of it

The race keeps the time; nothing here waits longer than it is let.
"""

from deployments.upstream.client import Upstream
from deployments.upstream.pool import UpstreamPool

__all__ = ["Upstream", "UpstreamPool"]
