"""Whose fault an error of a provider is: tables from codes and wordings to causes.

Providers tell the same trouble by other statuses, codes and words, and the status is the least precise of the three:
no credit comes as 400, a rate limit as 413, a filter as 403. So the order is:

    1. a code or type that names the trouble (`context_length_exceeded` beside `invalid_request_error`)
    2. the words of the message; few of them where a code or a field names a mistake of the caller (`mistakes`)
    3. the status, or a number in the error that is one
    4. a catch-all code or type (`invalid_request_error`, `api_error`)

The list of dialects, with a test for each, is in `docs/providers.md`.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto

from deployments.upstream.mistakes import is_mistake, is_name_too_long, is_of_caller, without_quotes


class Cause(Enum):
    """The trouble behind an error."""

    RATE_LIMIT = auto()  # the provider has too many requests of ours; time mends it
    BUSY = auto()  # overloaded, loading, timed out; time mends it
    BROKEN = auto()  # it failed by itself
    NO_CREDIT = auto()  # the operator mends it, like the following four
    CREDENTIALS = auto()
    PERMISSION = auto()  # of the account, the region, the address
    UNKNOWN_MODEL = auto()
    LOOP = auto()  # it leads back to this service
    TOO_LONG = auto()  # the request does not fit this model; another one may have a larger context
    CONTENT = auto()  # the request is rejected for its content
    WITHHELD = auto()  # the answer is
    INVALID = auto()  # the caller mends it
    UNEXPLAINED = auto()  # a refusal without a word: nobody can mend what is not explained


FOR_THE_OPERATOR = frozenset({Cause.NO_CREDIT, Cause.CREDENTIALS, Cause.PERMISSION, Cause.UNKNOWN_MODEL, Cause.LOOP})
"""Causes that only the operator can remove; they are logged, and nothing of them is told to a caller."""

_CODES: Mapping[Cause, tuple[str, ...]] = {
    Cause.LOOP: (r"loopdetected",),
    Cause.WITHHELD: (r"output(text)?(sensitive|blocked|filter|moderat)|responsefiltered|^1027$",),
    Cause.CONTENT: (
        r"contentfilter|contentpolic|contentblock|contentmoderat|contentsafety|contentviolat|responsibleai",
        r"inspectionfailed|sensitive|moderation|promptblock|promptflagged|flagged|^safety|safetyviolat",
        r"safetyblock|prohibitedcontent|guardrail|jailbreak|policyviolat|usagepolic|unsafe|harmful",
        r"^invalidprompt$|^blocklist|^1301$|^1026$",
    ),
    Cause.TOO_LONG: (
        r"contextlength|contextwindow|contextsize|contextlimit|prompttoolong|inputtoolong",
        r"tokenlimitexceeded|stringabovemaxlength|toomanytokens|requesttoolarge|entitytoolarge",
        r"payloadtoolarge|^1261$",
    ),
    Cause.NO_CREDIT: (
        r"insufficient(quota|balance|credit|fund)|billing|payment|arrear|overdue|creditbalance|outofcredit",
        r"exceededcurrentquota|spendlimit|^1113$|^1008$",
    ),
    Cause.RATE_LIMIT: (
        r"ratelimit|toomanyrequest|throttl|requestlimit|resourceexhausted|concurrencylimit|limitrequests",
        r"quotaexceeded|limitburst|^1302$|^1303$|^1305$",
    ),
    Cause.CREDENTIALS: (
        r"apikey|authenticat|unauthori|invalidtoken|expiredtoken|tokenexpired|credential",
        r"unrecognizedclient|(invalid|incomplete)signature|(invalid|mismatched)organization|invalidproject",
    ),
    Cause.PERMISSION: (
        r"permission|accessdenied|accessterminated|^forbidden|country|region|deactivated|suspended",
        r"restricted|notactive|notverified|failedprecondition|modelnotopen",
    ),
    Cause.UNKNOWN_MODEL: (
        r"model(id)?(isnot|not|does)(found|exist|support|availab|allow|valid)",
        r"(unknown|invalid|unsupported|nosuch)model|deploymentnotfound|modeldecommission|modeldeprecat",
        r"modelretired|resourcenotfound|^notfound|unknownurl|^1211$",
    ),
    Cause.BUSY: (
        r"overload|unavailable|capacity|timeout|timedout|deadlineexceeded|notready|^loading|modelloading",
        r"serverbusy",
    ),
}
"""Causes by patterns of codes and types, whose letters and digits are read in lower case; the first one counts."""

_CATCH_ALL: Mapping[Cause, tuple[str, ...]] = {
    Cause.BROKEN: (r"internal|servererror|apierror|unknown(error|exception)|upstream|modelerror|generation|engine",),
    Cause.INVALID: (
        r"invalid|badrequest|validation|unsupported|unprocessable|missing|required|malformed|unknownparam",
    ),
}

_ABOUT_OUTPUT = re.compile(
    r"\boutput (was |is |has been )?(blocked|filtered|withheld)|\b(response|completion|output|answer|generation) "
    r"(was|is|has been) (blocked|filtered|withheld|flagged|stopped)|(generated|output) (text|content|data)",
)
_ABOUT_INPUT = re.compile(r"\b(prompt|input|request|messages?|query)\b")
_ABOUT_MAX_TOKENS = re.compile(r"^.{0,40}max_?(completion_|output_|new_)?tokens\b")
_ABOUT_PROMPT = re.compile(
    r"\b(inputs?|prompt|messages|request has|you requested)\b|context (length|limit|size) (is|of)"
)

_WORDS: Mapping[Cause, tuple[str, ...]] = {
    Cause.CONTENT: (
        r"content[ -](management|filter(ing)?|moderation|safety|usage)?[ -]?polic",
        r"safety (system|polic|filter|guideline)|usage (polic|guideline)|content filter",
        r"\bflagged (as|by|for)|(was|were|been) flagged|moderation|content exists risk",
        r"(sensitive|inappropriate|harmful|unsafe|prohibited) (content|words?|information|material)",
        r"considered high risk|violat\w+ .{0,60}(polic|guideline|terms)",
        r"blocked (by|due to) .{0,40}(safety|polic|filter|guard)",
        r"(content|prompt|input) (was|is|has been) (blocked|filtered)",
        r"(content|request|input) blocked( by guard|:)|blocked by \w* ?guard|敏感|违规|不安全",
        r"^sensitive$|审核(不|未)通过",
    ),
    Cause.RATE_LIMIT: (
        r"rate[ _-]?limit|too many (concurrent )?requests|(requests|tokens) per (second|minute|hour|day)",
        r"\b[rt]p[md]\b|throttl|concurren\w+ (limit|requests)|slow down|(try|retry) again in \d",
        r"(number|rate) of requests|request rate",
        r"per[- ](second|minute|hour|day) limit|max concurrency|过于频繁|频率",
    ),
    Cause.TOO_LONG: (
        r"maximum context length|context ?(window|length) ?exceed",
        r"(inputs?|prompt|messages)\b.{0,30}(less|fewer|at most|up to) .{0,20}tokens",
        r"context[ _-]?(length|window|size|limit)\b.{0,60}(exceed|full|too |only|overflow|small)",
        r"(exceed|greater|larger|longer|more|beyond|over)\w* .{0,60}context[ _-]?(length|window|size|limit)",
        r"(prompt|input|request|message|conversation|body|token|field)s?( that)? (is |are |was )?too (long|large|big)",
        r"too many \w* ?tokens",
        r"(inputs?|prompt|request|total|message)`?( \w+)? tokens?\b.{0,60}(exceed|must be|greater|larger)",
        r"(inputs?|prompt|request|total|message)`?( \w+)? tokens?\b.{0,60}(more than|\bover\b|limit)",
        r"tokens? .{0,40}(exceed|more than|greater than|over) .{0,40}(limit|max|allowed)",
        r"token (limit|count) .{0,40}exceed|exceed\w* .{0,40}(max\w*|limit|number)( \w+){0,3} tokens?",
        r"exceed\w* (the |model )*token limit|max(imum)?[ _](model[ _]len|input|prompt|seq|context)",
        r"reduce (the length|your (prompt|input|message)|the (prompt|input))",
        r"(input|prompt|sequence) length\b.{0,60}(exceed|should be|must be|longer|limit)",
        r"exceeds? the (length|size) limit|range of input length|available context|\bn_ctx\b",
        r"entity too large|exceeds the limit of \d",
        r"(size|length) limit exceeded|exceeds? max(imum)? length|maxlength",
        r"tokens in the (input|prompt).{0,20}exceed|(prompt|input) length \d+ >|context (limit|length|size) of \d",
        r"超长|过长|(长度|上下文).{0,10}超过|超过.{0,16}(长度|上下文)",
    ),
    Cause.NO_CREDIT: (
        r"credit balance|insufficient (balance|credits?|funds?|quota)|out of credits?|\bbilling\b",
        r"current quota|\bpayment\b|more credits|(add|purchase[d]?|buy) (more )?(credits?|funds?)|top up",
        r"recharge|\boverdue|in arrears|(spend|usage|credit)\w* limit",
        r"balance.{0,20}insufficient|monthly .{0,20}credits|user quota|credits? .{0,20}(depleted|exhausted)",
        r"trial has|unpaid|余额|额度|欠费|充值",
    ),
    Cause.CREDENTIALS: (
        r"\b(invalid|incorrect|missing|expired|wrong|no|valid|provide) .{0,30}(api[ _-]?key|credentials?)",
        r"api[ _-]?key.{0,40}(invalid|not valid|expired|missing|not found|required|disabled|revoked)",
        r"(security|access|auth\w*|bearer) token|invalid token\b(?! id)",
        r"无效的令牌|unauthori[sz]ed|unauthenticated|authenticat",
    ),
    Cause.PERMISSION: (
        r"(country|region|territory|location)\b.{0,40}(not |un)(supported|available)",
        r"(not |un)(supported|available) in your (country|region|location|area)",
        r"(not|n't) have (access|permission)|no access to|access .{0,30}denied|permission denied",
        r"not (authorized|permitted) to",
        r"(account|organi[sz]ation|project|workspace)\b.{0,40}(deactivated|suspended|disabled|restricted)",
        r"(account|organi[sz]ation) .{0,40}(verified|not active)",
        r"on-demand throughput|\brequires? --",
    ),
    Cause.UNKNOWN_MODEL: (
        r"\b(model|deployment)\b.{0,80}(not found|(not|n't) exist|not (available|recogni[sz]ed|valid|supported)$)",
        r"\bmodel\b.{0,80}(decommissioned|deprecated|no longer|is unknown|been (removed|retired))",
        r"(unknown|invalid|unsupported|no such|non-?existent) model|not a valid model",
        r"no (allowed )?(providers?|endpoints?) |model .{0,60}is not (available|supported|deployed)\b",
        r"try pulling it",
        r"model identifier|could not find (the )?model",
        r"model .{0,40}not enabled|models/\S+ is not found|模型不存在",
    ),
    Cause.BUSY: (
        r"overloaded|at capacity|no capacity|temporarily unavailable|service unavailable",
        r"(still|currently|is) loading|high (demand|load|traffic)",
        r"try again later|(server|service|system) (is )?busy",
        r"timed out|no healthy upstream|warming up",
    ),
    Cause.BROKEN: (
        r"(connection|backend|worker|network) (error|died|failed|crashed|reset)",
        r"provider returned|upstream (error|connect|request)|internal (server )?error|out of memory",
        r"\bcuda\b|engine ?(dead|loop|process)|something went wrong|failed to generate",
    ),
}
"""Causes by patterns of messages in lower case; the first one counts."""


def _compiled(table: Mapping[Cause, tuple[str, ...]]) -> list[tuple[Cause, re.Pattern[str]]]:
    return [(cause, re.compile("|".join(patterns))) for cause, patterns in table.items()]


_CODE_TABLE, _CATCH_ALL_TABLE, _WORD_TABLE = _compiled(_CODES), _compiled(_CATCH_ALL), _compiled(_WORDS)
_NOT_LETTERS = re.compile(r"[^a-z0-9]")

_CLEAR_STATUS = {
    401: Cause.CREDENTIALS,
    402: Cause.NO_CREDIT,
    403: Cause.PERMISSION,
    404: Cause.UNKNOWN_MODEL,
    405: Cause.UNKNOWN_MODEL,
    407: Cause.CREDENTIALS,
    410: Cause.UNKNOWN_MODEL,
    413: Cause.TOO_LONG,
    415: Cause.UNEXPLAINED,
    429: Cause.RATE_LIMIT,
    451: Cause.PERMISSION,
    508: Cause.LOOP,
}
_FEW_WORDS = 4

_VAGUE_STATUS = frozenset({200, 400, 422, 500})
"""Statuses that say little: whatever else an error says goes before them."""

_READ_AT_ANY_STATUS = frozenset({Cause.TOO_LONG, Cause.RATE_LIMIT})
_READ_OF_CALLERS = frozenset({Cause.TOO_LONG, Cause.PERMISSION})
_READ_AT_403 = _READ_AT_ANY_STATUS | {Cause.CONTENT}
BUSY_STATUS = frozenset({408, 409, 424, 425, 498, 499, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529, 530})
"""Statuses that another try may not have."""


def cause_of(codes: Iterable[str], message: str, status: int, *, waits: bool, param: str = "") -> Cause:
    """Return the cause of an error.

    Args:
        codes: its codes and types, the most precise first.
        message: its message.
        status: the status of the response; 200 for an error within a success.
        waits: it names a time after which to ask again.
        param: the field that it names.
    """
    # Some have a sentence where a code belongs.
    keys = [_NOT_LETTERS.sub("", code.lower()) for code in codes if code.count(" ") < _FEW_WORDS]
    lowered = message.lower()
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect, which is not followed
        return Cause.UNKNOWN_MODEL
    if is_name_too_long(keys, param.lower(), lowered):
        return Cause.INVALID
    if (precise := _first(_CODE_TABLE, keys)) is not None:
        return _direction(precise, lowered, status)
    number = next((int(key) for key in keys if key.isdecimal() and len(key) == 3), status)  # noqa: PLR2004
    if status in _VAGUE_STATUS:
        status = number if number >= 400 else status  # noqa: PLR2004
    is_callers = is_of_caller(status) and is_mistake(keys, param)
    said = _by_words(lowered, status, param, is_callers=is_callers)
    if said is Cause.NO_CREDIT and waits:
        said = Cause.RATE_LIMIT  # an account without credit names no time
    if said is not None:
        return _direction(said, lowered, status)
    if is_callers:
        return Cause.INVALID
    if status in _CLEAR_STATUS:
        return _CLEAR_STATUS[status]
    if status in BUSY_STATUS and status not in _VAGUE_STATUS:
        return Cause.BUSY
    if (general := _first(_CATCH_ALL_TABLE, keys)) is not None and status in _VAGUE_STATUS:
        return Cause.BUSY if status == 500 and general is Cause.INVALID else general  # noqa: PLR2004
    if status in {400, 422}:
        return Cause.INVALID if message.strip() else Cause.UNEXPLAINED
    return Cause.BROKEN if status in _VAGUE_STATUS else Cause.UNEXPLAINED


def _first(table: list[tuple[Cause, re.Pattern[str]]], texts: Iterable[str]) -> Cause | None:
    """Return the cause of the first row that fits a text, the first text before the second."""
    return next((cause for text in texts for cause, pattern in table if pattern.search(text)), None)


def _by_words(lowered: str, status: int, param: str, *, is_callers: bool) -> Cause | None:
    words = without_quotes(lowered) if is_of_caller(status) else lowered
    if is_callers:
        readable = _READ_OF_CALLERS | ({Cause.CONTENT} if param else frozenset())
    elif status in _VAGUE_STATUS:
        readable = frozenset(Cause)
    else:
        readable = _READ_AT_403 if status in {403, 451} else _READ_AT_ANY_STATUS
    if status == 429:  # noqa: PLR2004 - the words tell an empty account from a rate limit
        readable |= {Cause.NO_CREDIT}
    for cause, pattern in _WORD_TABLE:
        if cause in readable and pattern.search(words):
            if cause is Cause.TOO_LONG and _bounds_output(lowered, param):
                return Cause.INVALID
            return cause
    return None


def _bounds_output(lowered: str, param: str) -> bool:
    """Return whether a message is about a `max_tokens` that no model would take, and not about the prompt."""
    about = bool(_ABOUT_MAX_TOKENS.match(lowered)) or param.startswith("max_")
    return about and not _ABOUT_PROMPT.search(lowered)


def _direction(cause: Cause, lowered: str, status: int) -> Cause:
    """Tell a withheld answer from a rejected request: an error within a success comes where an answer was begun."""
    if cause is not Cause.CONTENT:
        return cause
    about_output = _ABOUT_OUTPUT.search(lowered) and not _ABOUT_INPUT.search(lowered)
    return Cause.WITHHELD if status < 300 or about_output else Cause.CONTENT  # noqa: PLR2004
