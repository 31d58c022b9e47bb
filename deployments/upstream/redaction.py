"""Makes messages of upstreams safe to pass on: short, in one line, without our secrets."""

from collections.abc import Iterable

from deployments.policy.reason import MAX_REASON_CHARACTERS

_SHORTEST_SECRET = 4
"""Characters of the shortest secret that is removed; removing a shorter one would damage ordinary words."""


class Redactor:
    """Removes the secrets of one upstream from its messages: some upstreams repeat the key that they refuse."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Get ready to remove `secrets`."""
        # The longest first: one may be part of another.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Return `text` in one line of at most `MAX_REASON_CHARACTERS`, without secrets and control characters."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        line = "".join(char if char.isprintable() else " " for char in text[: MAX_REASON_CHARACTERS * 2])
        return " ".join(line.split())[:MAX_REASON_CHARACTERS]
