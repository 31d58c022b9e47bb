"""The errors of providers, as `errors.yaml` has them; the faulty upstream plays each as `error-<kind>-<name>`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from deployments.upstream.causes import Cause

ACCOUNT = ("acme", "org-", "proj_", "sk-", "billing", "credit", "quota", "organization", "deployment", "balance")
"""Words of the operators' accounts in these errors: no caller may read them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """An error of one provider.

    Attributes:
        status: of the response.
        body: of the response; a text is sent as HTML.
        cause: what it means.
        code: of our error object, where it is the caller's.
    """

    status: int
    body: Any
    cause: Cause
    code: str = ""

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)

    @property
    def content_type(self) -> str:
        return "text/html" if isinstance(self.body, str) else "application/json"


def _read() -> dict[str, Dialect]:
    kinds = yaml.safe_load((Path(__file__).parent / "errors.yaml").read_text(encoding="utf-8"))
    return {
        f"error-{kind}-{name}": Dialect(facts["status"], facts["body"], Cause[facts["cause"]], facts.get("code", ""))
        for kind, dialects in kinds.items()
        for name, facts in dialects.items()
    }


DIALECTS = _read()
