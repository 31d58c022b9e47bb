"""Reads requests: every format becomes an `InferenceRequest`. All rules for valid requests are in this room.

May import: policy.

    native.py     the native API, handles and the engine     inference.py         the request, whatever the format
    openai.py     OpenAI's two formats                       structs.py           a part of a body as a struct
    openai_fields.py   their fields                          words.py             what a field accepts, in words
    prompts.py    the prompts of text completions            body_form.py         what the body of a format may have
    chat.py       its messages                               controls.py          deadline, tiers, fallback, hedge
    content.py    the parts of a message: texts, pictures    sampling.py          temperature and its like
                                                             passing.py           fields for upstreams alone
    openai_responses.py, responses_fields.py, response_tools.py, items.py, item_parts.py
                  OpenAI's Responses
    messages_fields.py  the fields of Messages
    anthropic.py  Anthropic's Messages                       response_format.py   tools and response formats
    dialogue.py   its messages, and the parts of them:       fields.py            single fields
    blocks.py     texts, pictures, calls, results            schema.py            bounds on JSON schemas
    turns.py      chat turns                                 body.py              JSON in: size, depth, numbers
    conversation.py   what all messages are read into        hops.py              where a request has been
    embeddings.py OpenAI's embeddings                        compression.py       bodies that are compressed
    ranking.py    reranking and scores of pairs              vector_body.py       what it shares with embeddings
    tokens.py     the tokens of a text, and their text      trace_headers.py     the trace that it is a part of
    operation_name.py  what it asks for, in OpenTelemetry's words
    prompt_estimate.py    about how many tokens it has
"""

from deployments.request.controls import TIMEOUT_HEADER
from deployments.request.fields import MAX_MODEL_NAME
from deployments.request.inference import Feature, InferenceRequest, ResponseFormat
from deployments.request.native import TEXT_KEYS, extract_text
from deployments.request.sampling import Parameters

__all__ = [
    "MAX_MODEL_NAME",
    "TEXT_KEYS",
    "TIMEOUT_HEADER",
    "Feature",
    "InferenceRequest",
    "Parameters",
    "ResponseFormat",
    "extract_text",
]
