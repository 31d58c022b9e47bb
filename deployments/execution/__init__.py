"""Carries out what `policy` decides for one request: attempts, the race between them, the relay of a stream.

May import: policy, request, observability.

    attempt.py             a way to reach a model; an attempt whose first content is there
    race.py                attempts beside each other, until one answers or nobody can
    whole.py, streams.py   a race for a whole answer; a race for a stream, and its relay
    opening.py             the race for the first content of a stream
    relay.py               a stream from its first content to its end, through as many models as it takes
    transcript.py          what a stream has said, and by whom
    idle.py                the watch on a stream's silences
    splice.py              takes out what a model repeats when it carries on with a text
    structured_output.py   holds an answer to the form that its caller demanded
    clock.py               the event loop and its time
"""
