"""Carries out what `policy` decides for one request: attempts, the race between them, the relay of a stream.

May import: policy, request, observability.

    attempt.py             model clients; an attempt whose first content is there
    pulse.py               signs of life of an attempt
    race.py                attempts beside each other, until one answers or the chain is exhausted
    flight.py              attempts under way, and what becomes of those that have lost
    whole.py, streams.py   a race for a whole answer; a race for a stream, and its relay
    opening.py             the race for the first content of a stream
    relay.py               a stream from its first content to its end, through as many models as it takes
    transcript.py          the text of a stream so far, and the attempts that wrote it
    watch.py, idle.py      a stream's pace; the timeout of its silences
    keepalive.py           signs of life for whoever reads a stream
    splice.py              removes what a model repeats when it continues a text
    structured_output.py   holds an answer to the form that its caller demanded
    vectors.py             the same of vectors; float32, as bytes
    service.py             the router, as HTTP and deployment handles see it
    clock.py               the event loop and its time
"""
