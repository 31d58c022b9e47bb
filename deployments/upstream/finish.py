"""The one table of what providers call the end of an answer, and what it means.

    complete     the model has said all of it
    cut          the answer is a beginning: its tokens, its context or its time ran out
    withheld     a filter of the provider's has decided about the content
    failed       the provider gave up: another attempt may have the answer
    not an end   the answer goes on: `null`, an empty text, a default value of the provider's

Names are compared in lower case, with `_` for other signs and before each hump of `camelCase`, and without a leading
`finish_reason_`. A name that is not in the table is read by its words: `blocked_by_policy` is a filter's,
`provider_error` a failure. One without such a word counts as cut: the answer may be incomplete. Which provider says
what: `docs/providers.md`.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from deployments.upstream.recognition import has_filtered


class Ending(Enum):
    """The meaning of a finish reason."""

    COMPLETE = "stop"
    CUT = "length"
    WITHHELD = "content_filter"
    FAILED = "failed"
    NOT_AN_END = ""


_NAMES: Mapping[Ending, str] = {
    # OpenAI: stop, tool_calls, function_call · Anthropic, Bedrock: end_turn, stop_sequence, tool_use · Together, TGI:
    # eos, eos_token · Cohere: complete, tool_call · Bedrock's Titan: finish · Qianfan: normal · AI21: endoftext
    Ending.COMPLETE: "stop stopped end end_turn stop_sequence eos eos_token endoftext end_of_text complete completed "
    "done finish finished normal success tool_calls tool_call tool_use function_call",
    # OpenAI: length · Anthropic: max_tokens, model_context_window_exceeded, pause_turn, compaction · Mistral:
    # model_length · vLLM: repetition · watsonx: token_limit, time_limit · Aleph Alpha: maximum_tokens · llama.cpp:
    # limit
    Ending.CUT: "length max_tokens max_output_tokens maximum_tokens max_length model_length token_limit limit context "
    "context_length context_length_exceeded model_context_window_exceeded time_limit deadline pause_turn "
    "compaction repetition incomplete",
    # OpenAI, Azure: content_filter · Anthropic: refusal · Gemini: safety, recitation, language, blocklist,
    # prohibited_content, spii, image_… · Vertex AI: model_armor · Bedrock: guardrail_intervened, content_filtered ·
    # Cohere: error_toxic · Zhipu, Hunyuan: sensitive
    Ending.WITHHELD: "content_filter content_filtered content_filtering content_policy_violation refusal safety "
    "recitation language blocklist prohibited_content spii image_safety image_prohibited_content image_recitation "
    "model_armor guardrail_intervened guardrails sensitive error_toxic moderation moderated",
    # vLLM, SGLang: abort, error · OpenRouter, Mistral: error · DeepSeek: insufficient_system_resource · Zhipu:
    # network_error · Cohere: error_limit, timeout, user_cancel · Bedrock: malformed_model_output, malformed_tool_use
    # · Gemini: malformed_function_call and the like, other · watsonx: cancelled · Ollama: load, unload
    Ending.FAILED: "error errored failed failure fatal abort aborted cancel cancelled canceled user_cancel "
    "user_cancelled timeout timed_out disconnect network_error connection_error server_error internal_error "
    "unavailable insufficient_system_resource error_limit rate_limit rate_limit_exceeded overloaded "
    "malformed_function_call malformed_tool_call malformed_response malformed_model_output malformed_tool_use "
    "unexpected_tool_call too_many_tool_calls missing_thought_signature no_image image_other other load "
    "unload",
    # Ollama before 0.1.38, SGLang 0.4, GLM: an empty text · Qwen, KoboldCpp: "null" · Gemini: unspecified · watsonx:
    # not_finished
    Ending.NOT_AN_END: " null none unspecified not_finished in_progress running generating pending processing queued "
    "streaming",
}

ENDINGS: Mapping[str, Ending] = {name: ending for ending, names in _NAMES.items() for name in names.split(" ")}

_WORDS: Mapping[Ending, re.Pattern[str]] = {
    # Before failures: no other model may answer what a filter has withheld.
    Ending.WITHHELD: re.compile(
        r"(?:^|_)(?:filter|blocked|blocklist|flagged|safety|unsafe|moderat|censor|guardrail|harmful|sensitiv|prohibit"
        r"|toxic|jailbreak|refus|recitation|copyright|profan|hate|violence|sexual|self_harm)"
        r"|(?:content|usage|use|safety)_polic|polic\w*_violat|(?:content|prompt|input|output)_block$"
    ),
    Ending.FAILED: re.compile(
        r"(?:^|_)(?:err$|error|fail|fatal|abort|cancel|time_?out|timed_out|lost$|connection|disconnect|interrupt|preempt"
        r"|evict|exception|crash|kill|unavailable|overload|malformed|insufficient)"
    ),
}
"""What words in a name that is not in the table mean. They begin where a word begins: `harmful` is not in `harmony`."""

_DENIES = re.compile(r"(?:^|_)(?:no|not|non|none|without)_")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SIGNS = re.compile(r"[^a-z0-9]+")
_LONGEST = 100


def read_ending(value: Any) -> Ending:
    """Return the meaning of a finish reason; of an object, that of its `type` (SGLang)."""
    if isinstance(value, Mapping):
        value = value.get("type")
    if not value:
        return Ending.NOT_AN_END
    apart = _HUMP.sub("_", str(value)[:_LONGEST])
    name = _SIGNS.sub("_", apart.lower()).strip("_").removeprefix("finish_reason_")
    return ENDINGS.get(name) or _by_words(name)


def _by_words(name: str) -> Ending:
    if _DENIES.search(name):
        return Ending.CUT
    return next((ending for ending, words in _WORDS.items() if words.search(name)), Ending.CUT)


def ending_of(choice: Mapping[str, Any]) -> tuple[Ending, str]:
    """Return the meaning of a choice's finish reason, and the reason in the provider's words.

    `finish_reason` has other names, too. Where OpenRouter calls an answer complete or cut, and its provider's own word
    (`native_finish_reason`) is one for a failure or a filter, the provider's word counts. So does a flag
    of Azure's filters that they have stopped the content.
    """
    given = next((choice[key] for key in _KEYS if choice.get(key) is not None), None)
    ending, native = read_ending(given), choice.get("native_finish_reason")
    if native is not None and ending not in _SEVERE and read_ending(native) in _SEVERE:
        given, ending = native, read_ending(native)
    if ending in _ENDS_OF_TEXTS and has_filtered(choice.get("content_filter_results")):
        given, ending = _FILTERED, Ending.WITHHELD
    return ending, str(given.get("type") if isinstance(given, Mapping) else given)[:_LONGEST]


_KEYS = ("finish_reason", "finishReason", "done_reason")
_SEVERE = (Ending.WITHHELD, Ending.FAILED)
_ENDS_OF_TEXTS = (Ending.COMPLETE, Ending.CUT)
_FILTERED = "content_filter"
