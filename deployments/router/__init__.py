"""One router: builds the chain of a request, keeps track of the models, counts the answers.

May import: policy, request, settings, access, observability, execution, upstream, storage, ray_serve.

    router.py             answers requests: runs their chains, counts and logs the answers
    handle_methods.py     the same for deployment handles
    routing.py            the chain of a request, and the clients of its candidates
    visit.py              a request that came with a key
    registry.py           all models, found by asking Serve
    registered_model.py   one model: its state, and the way to its replicas
    description.py        what it says of its models
    all_routers.py        what all routers say, asked by one of them
    service_status.py     the status of the whole service
    request_trace.py      the spans of a request and its attempts
    gauges.py             what one router is at, as metrics
    service_problems.py   what is wrong in it
    tokenizers.py         questions to the tokenizers of models
    waiting_room.py       requests that wait until a model is ready
    supervision.py        restarts background tasks that end
    accounting.py         requests in flight, answers given
"""
