"""The HTTP surface: wire formats in and out. No decision is made here.

May import: policy, request, access, observability, execution, storage, ray_serve.

    asgi.py                       the application
    native.py, openai.py, …       the endpoints of the native API, OpenAI's (`openai_responses.py`) and Anthropic's
    family.py                     what is done for every family of wire formats
    embeddings.py, ranking.py     OpenAI's embeddings; reranking and scores; vectors.py: what they share
    tokens.py                     vLLM's tokens, health and version
    completions.py, chunks.py     answers in OpenAI's formats: as bodies, and as the chunks of streams
    message.py, message_writer.py the same in Anthropic's format: as bodies, and as the events of streams
    response_body.py, response_items.py, response_writer.py
                                  the same in OpenAI's Responses; kept_responses.py: earlier ones
    beside.py                     what comes beside answers, in formats with places of their own
    counts.py, model_list.py      token counts; the list of models in Anthropic's form
    responses.py, alive.py        headers and events; streams that give signs of life
    problems.py                   the bodies of all 4xx
    operation.py                  health, readiness, status, fallbacks (`fallback_query.py` reads which)
    pages.py                      the description of all endpoints
    guard.py                      asks for keys, and tells what is left for one
    service.py                    the router as this room sees it
    cors.py, sites.py             pages of other origins: what they may read, and what they may not send
    arrival.py, protocol.py       bodies on their way in; connections
    replays.py                    requests that another router has had before
"""
