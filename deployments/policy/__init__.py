"""Pure decisions: who is next, when, whether. The time is an argument (`now`, in seconds).

May import: no other room.

The standard library and msgspec's structs, nothing else: no I/O, no clock.

    chain.py, next_step.py     who is asked next, and when: the heart of the service
    knob.py                    values that an operator may set, with their bounds: the sections of the policy
    deadline.py, retry.py      how much time there is; when the same model is asked again
    attempt.py, outcome.py     an attempt; the closed set of ways in which it can end
    answer.py, last_resort.py  what the caller gets; what it gets when nobody answers
    trace.py                   the record of a chain's attempts
    stream_events.py           a streamed answer on its way to the caller
    continuation.py            who carries on with a stream that broke off
    resilience.py              what is remembered between requests, of which the parts are
        breaker.py             a circuit breaker for each model
        concurrency_limit.py   an adaptive limit on attempts at a time
        hedging.py, quantile.py  latencies: who is slow, and when the backup is started beside it
        budget.py              how many extra attempts there may be
    blank.py                   what counts as no answer
    problem.py                 what is wrong with a request
"""
