"""Makes messages of upstreams safe to pass on: short, in one line, without secrets, without a word of the account."""

import re
from collections.abc import Iterable, Mapping

from deployments.policy.reason import MAX_REASON_CHARACTERS

_SHORTEST_SECRET = 4
"""Characters of the shortest secret that is removed; removing a shorter one would damage ordinary words."""

_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\b[\w-]+(?:\.[\w-]+)+:\d+\b", re.IGNORECASE
)
_ACCOUNT = re.compile(
    r"\b(?:billing|billed|invoices?|payments?|purchased?|prepaid|subscription|credits?|balance|quotas?|wallets?|organi[sz]ations?"
    r"|projects?|workspaces?|tenants?|teams?|accounts?|deployments?|api[ _-]?keys?|key id|key limits?|credentials?|jwt"
    r"|service tier|(?:the|your|its|this) licen[cs]e|users? (?:was )?not found|(?:account|key|wallet) holders?"
    r"|(?:your|usage|free|paid|current) (?:plan|tier)|(?:sk|pk|rk|org|proj|acct|ws|key|gsk|xai)[-_][\w-]{4,}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|arn:\S+|AIza[\w-]{20,}|Bearer \S+"
    r"|[\w.+-]+@[\w-]+\.[\w.]+)\b",
    re.IGNORECASE,
)
"""Words and ids of an operator's account. A message that holds one is about the account, and its caller not told."""


_OF_A_GATEWAY = re.compile(r"[\s.]*\b(Received Model Group ?=|Available Model Group Fallbacks ?=).*", re.DOTALL)
"""What LiteLLM puts behind a message: the names of the operator's models."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PATH = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")


def names_account(text: str) -> bool:
    """Return whether `text` names something of an operator's account."""
    return _ACCOUNT.search(text) is not None


class Redactor:
    """Removes the secrets of one upstream from its messages: some upstreams repeat the key that they refuse."""

    def __init__(self, secrets: Iterable[str], names: Mapping[str, str] | None = None) -> None:
        """Get ready to remove `secrets`, and to put others in the place of `names`, such as the upstream's model."""
        # The longest first: one may be part of another.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._names = {
            re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE): other
            for name, other in (names or {}).items()
            if len(name) >= _SHORTEST_SECRET and name != other
        }

    def hide(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def clean(self, text: str) -> str:
        """Return `text` in one line of at most `MAX_REASON_CHARACTERS`, without secrets and control characters."""
        text = self.hide(text)
        line = "".join(char if char.isprintable() else " " for char in text[: MAX_REASON_CHARACTERS * 2])
        return " ".join(line.split())[:MAX_REASON_CHARACTERS]

    def for_callers(self, text: str) -> str:
        """Return `text` as a caller may read it: cleaned, without addresses; empty where it is about the account."""
        line = _ADDRESS.sub("", self.clean(_OF_A_GATEWAY.sub("", text)))
        if names_account(line) or "[redacted]" in line:
            return ""
        for name, other in self._names.items():
            line = name.sub(other, line)
        return " ".join(line.split())

    def codes(self, codes: Iterable[str]) -> tuple[str, ...]:
        """Return those of `codes` that a caller may read: short identifiers, which name nothing of the account."""
        return tuple(code for code in codes if _CODE.fullmatch(code) and self.for_callers(code) == code)

    def path(self, param: str) -> str:
        """Return `param` where it is a path to a field that a caller may read, else nothing."""
        return param if _PATH.fullmatch(param) and self.for_callers(param) == param else ""
