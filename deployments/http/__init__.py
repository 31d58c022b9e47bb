"""The HTTP surface: wire formats in and out. No decision is made here.

May import: policy, request, execution, ray_serve.

    asgi.py                       the application
    native.py, openai.py          the endpoints of the two APIs
    completions.py, responses.py  answers as bodies, headers and events
    problems.py                   every 4xx
    pages.py                      the description of all endpoints
    service.py                    what is needed of the router
    arrival.py, protocol.py, writes.py   bodies on their way in; connections
"""
