"""What providers call each trouble: the causes of errors, and the tables of codes and wordings that tell of them.

`diagnosis` reads an error by them. The list of dialects, with a test for each, is in `docs/providers.md`.
"""

from collections.abc import Mapping
from enum import Enum, auto


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
    INVALID = auto()  # the caller mends it; where the explanation names nothing of the request, if nobody else answers
    UNEXPLAINED = auto()  # a refusal without a word: nobody can mend what is not explained


FOR_THE_OPERATOR = frozenset({Cause.NO_CREDIT, Cause.CREDENTIALS, Cause.PERMISSION, Cause.UNKNOWN_MODEL, Cause.LOOP})
"""Causes that only the operator can remove; they are logged, and nothing of them is told to a caller."""

CODES_OF_CAUSES: Mapping[Cause, tuple[str, ...]] = {
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

CATCH_ALLS_OF_CAUSES: Mapping[Cause, tuple[str, ...]] = {
    Cause.BROKEN: (r"internal|servererror|apierror|unknown(error|exception)|upstream|modelerror|generation|engine",),
    Cause.INVALID: (
        r"invalid|badrequest|validation|unsupported|unprocessable|missing|required|malformed|unknownparam",
    ),
}

WORDS_OF_CAUSES: Mapping[Cause, tuple[str, ...]] = {
    Cause.CONTENT: (
        r"content[ -](management|filter(ing)?|moderation|safety|usage)?[ -]?polic",
        r"safety (system|polic|filter|guideline)|usage (polic|guideline)|content filter",
        r"\bflagged (as|by|for)|(was|were|been) flagged|moderation|content exists risk",
        r"(sensitive|inappropriate|harmful|unsafe|prohibited) (content|words?|information|material)",
        r"considered high risk|violat\w+ .{0,60}(polic|guideline|terms)",
        r"blocked (by|due to) .{0,40}(safety|polic|filter|guard)",
        r"(content|prompt|input) (was|is|has been) (blocked|filtered)",
        r"(content|request|input) blocked( by guard|:)|blocked by \w* ?guard|敏感|违规|不安全",
        r"^sensitive$|审核(不|未)通过|\bnsfw\b|(input|prompt|content|message) .{0,20}unsafe|content rules",
        r"hate speech|prompt injection|jailbreak|model armor|\bpii\b.{0,20}detected|prohibited (words|content)",
        r"(rejected|stopped|refused) by (our|the|a) .{0,20}(filter|guard|moderat)|acceptable use",
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
        r"(does not|doesn't|do not|don't|cannot|can't) fit in(to)? (the |its |this )?context|context overflow",
        r"(prompt|input|request|conversation|messages)\b.{0,30}\b\d+ tokens\b.{0,60}\b(limit|maximum|max)\b",
        r"max_tokens.{0,40} got:? ?-\d",  # what the prompt leaves of the context is less than nothing
    ),
    Cause.NO_CREDIT: (
        r"credit balance|insufficient (balance|credits?|funds?|quota)|out of credits?|\bbilling\b",
        r"current quota|\bpayment\b|more credits|(add|purchase[d]?|buy) (more )?(credits?|funds?)|top up",
        r"recharge|\boverdue|in arrears|(spend|usage|credit)\w* limit",
        r"balance.{0,20}insufficient|monthly .{0,20}credits|user quota|credits? .{0,20}(depleted|exhausted)",
        r"trial has|unpaid|余额|额度|欠费|充值",
        r"\bwallet|key limit exceeded|subscription .{0,20}(expired|ended|inactive)|upgrade your plan|\bpast due\b",
    ),
    Cause.CREDENTIALS: (
        r"\b(invalid|incorrect|missing|expired|wrong|no|valid|provide) .{0,30}(api[ _-]?key|credentials?)",
        r"api[ _-]?key.{0,40}(invalid|not valid|expired|missing|not found|required|disabled|revoked)",
        r"(security|access|auth\w*|bearer) token|invalid token\b(?! id)",
        r"无效的令牌|unauthori[sz]ed|unauthenticated|authenticat",
        r"\b(jwt|token|session|signature|certificate)( has| is| was)? expired|signature does not match|\bjwt\b",
    ),
    Cause.PERMISSION: (
        r"(country|region|territory|location)\b.{0,40}(not |un)(supported|available)",
        r"(not |un)(supported|available) in your (country|region|location|area)",
        r"(not|n't) have (access|permission)|no access to|access .{0,30}denied|permission denied",
        r"not (authorized|permitted) to",
        r"(account|organi[sz]ation|project|workspace)\b.{0,40}(deactivated|suspended|disabled|restricted)",
        r"(account|organi[sz]ation) .{0,40}(verified|not active)",
        r"on-demand throughput|\brequires? --",
        r"accept .{0,40}licen[cs]e|licen[cs]e .{0,30}(expired|accepted|agree)|\buser (was )?not found",
    ),
    Cause.UNKNOWN_MODEL: (
        r"\b(model|deployment)\b.{0,80}(not found|(not|n't) exist|not (available|recogni[sz]ed|valid|supported)$)",
        r"\bmodel\b.{0,80}(decommissioned|deprecated|no longer|is unknown|been (removed|retired))",
        r"(unknown|invalid|unsupported|no such|non-?existent) model|not a valid model",
        r"no (allowed )?(providers?|endpoints?) |model .{0,60}is not (available|supported|deployed)\b",
        r"try pulling it",
        r"model identifier|could not find (the )?model",
        r"model .{0,40}not enabled|models/\S+ is not found|模型不存在",
        r"\b(lora|adapter)\b.{0,80}not (found|loaded)|no models? (is |are )?loaded|failed to load (the )?model",
        r"\b(endpoint|deployment|model)\b.{0,40} is (paused|stopped|archived|scaled to zero)",
    ),
    Cause.BUSY: (
        r"overloaded|at capacity|no capacity|temporarily unavailable|service unavailable",
        r"(still|currently|is) loading|high (demand|load|traffic)",
        r"try again later|(server|service|system) (is )?busy",
        r"timed out|no healthy upstream|warming up",
        r"queue (is )?full|\ball (\w+ ){0,3}(are |is )?busy",
        r"no (\w+ )?(workers?|replicas?|instances?) (are |is )?(free|available)",
        r"(is|are) (shutting down|restarting)|deadline exceeded",
    ),
    Cause.BROKEN: (
        r"(connection|backend|worker|network) (error|died|failed|crashed|reset)",
        r"provider returned|upstream (error|connect|request)|internal (server )?error|out of memory",
        r"\bcuda\b|engine ?(dead|loop|process)|something went wrong|failed to generate",
        r"unknown error|unexpected error|internal exception|socket hang up|econnre\w+|fetch failed|\boom\b",
        r"insufficient v?ram",
    ),
}
"""Causes by patterns of messages in lower case; the first one counts."""
