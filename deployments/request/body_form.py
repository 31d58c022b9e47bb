"""A format's body: the structs that its fields are in. Readers, `/openapi.json` and `docs/api.md` go by it."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from msgspec import Meta, Struct

from deployments.request.controls import Controls
from deployments.request.fields import A_MODEL, MAX_MODEL_NAME
from deployments.request.passing import Neutral, Passed, read_passed
from deployments.request.structs import does, field_names

ModelName = Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_NAME, extra={"accepted": A_MODEL})]


class Common(Struct, frozen=True, kw_only=True):
    """The fields of every format."""

    model: Annotated[ModelName | None, does("The model asked for; without it the default one.")] = None
    stream: Annotated[bool, does("The answer is sent piece by piece.")] = False


class BodyForm:
    """What the body of a request may have.

    Attributes:
        name: the format's name in `/openapi.json`.
        parts: the structs of the fields that are acted on here, the format's own first.
        passed: the fields that are known, and are not acted on here: see `passing`; `None` where there are none.
        others: what becomes of fields that are not known; empty where they are refused.
        refused: the fields of other formats that no model can be asked for in this one.
        acted_on: the names of the fields in `parts`.
    """

    __slots__ = ("acted_on", "name", "others", "parts", "passed", "refused")

    def __init__(
        self,
        name: str,
        *own: type[Struct],
        passed: type[Struct] | None = Neutral,
        others: str = "Passed on to remote models.",
        refused: AbstractSet[str] = frozenset(),
    ) -> None:
        """Describe a format by structs; the controls are in every one."""
        self.name, self.passed, self.others, self.refused = name, passed, others, refused
        self.parts: tuple[type[Struct], ...] = (*own, Controls)
        self.acted_on = frozenset(field for part in self.parts for field in field_names(part))

    def passed_on(self, data: Mapping[str, Any]) -> Passed:
        """Return what of a body in this format is passed on; see `read_passed`."""
        return read_passed(data, self.acted_on, self.refused, self.passed or Neutral)
