"""One router: who is asked for a request, what is known of the models, what is counted.

May import: policy, request, settings, observability, execution, upstream, ray_serve.

    router.py             reads a request, runs its chain, tells what happened
    routing.py            who is asked for a request, in which order
    registry.py           which models there are
    registered_model.py   one of them: its state, and how it is reached
    accounting.py         requests in flight, answers given
"""
