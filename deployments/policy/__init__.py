"""Pure decisions: which model is asked next, when, and whether. The time is an argument (`now`, in seconds).

May import: no other room.

It uses the standard library and msgspec's structs, nothing else: no I/O, no clock.

    chain.py, next_step.py     who is asked next, and when: the heart of the service; step.py has the decisions
    put_behind.py              when a candidate is asked that was put behind all others
    allowance.py               which extra attempts a request may have
    terms.py                   what a caller imposes, which is no evidence about a model
    knob.py                    values that an operator may set, with their bounds: the sections of the policy
    deadline.py, retry.py      the time of a request; when the same model is asked again
    attempt.py, outcome.py     an attempt; the closed set of ways in which it can end
    answer.py, last_resort.py  the answer to a request; the answer when no model gives one
    trace.py                   the record of a chain's attempts
    stream_events.py           a streamed answer on its way to the caller
    continuation.py            which models may continue a stream that broke off
    resilience.py              what a router remembers between requests; its parts are
        permit.py              permission to make one attempt
        model_state.py         what is remembered of one model
        breaker.py             a circuit breaker for each model
        forms.py               which models keep to the forms that are demanded
        silence.py             when a silence speaks against a model
        pace.py                how fast models write, and when a stream crawls
        cooldown.py            the pause that a model asked for
        concurrency_limit.py   an adaptive limit on attempts at a time
        hedging.py, quantile.py  latencies: who is slow, and when the backup is started beside it
        budget.py              how many extra attempts there may be
    responsiveness.py          which replicas answer at all
    ejection.py                which replicas fail every call
    placement.py               what the loss of one host takes along
    blank.py                   the rule for what counts as no answer
    problem.py                 a fault in a request: its field and what would be accepted
"""
