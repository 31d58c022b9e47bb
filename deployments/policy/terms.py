"""The terms of a request: what its caller imposes. What a model cannot do within them is no evidence against it."""

from msgspec import Struct

from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Finished, Outcome, TimedOut


class Terms(Struct, frozen=True):
    """What a caller imposes on the models that answer.

    Attributes:
        streamed: the answer is streamed.
        form: the kind of form that is demanded: `json_object`, `json_schema` or `tool_call`; empty for any text.
        max_tokens: the longest answer that the caller lets a model write; `None` where the caller sets no bound.
        steered: the caller ends the answer at texts of its own, or biases tokens.
        prompt_size: how much there is to read before the first token, in characters of text.
    """

    streamed: bool = False
    form: str = ""
    max_tokens: int | None = None
    steered: bool = False
    prompt_size: int = 0

    @property
    def capped(self) -> bool:
        """Whether the caller bounds the length of the answer."""
        return self.max_tokens is not None


ANY_TERMS = Terms()
"""A whole answer, and nothing imposed."""


def beyond_terms(outcome: Outcome | Finished, terms: Terms) -> Outcome | Finished:
    """Return what `outcome` says about the health of its model, with what its caller imposed left out.

    An answer that has not the form that was demanded shows that the model works. An answer without anything visible,
    where the caller's `max_tokens` or `stop` ended it, says nothing.
    """
    match outcome:
        case Answered() | Finished():  # the usual case
            return outcome
        case Blank(cut=True) | Failed(cut=True) if terms.capped:
            return IMPOSED
        case Blank() if terms.steered:
            return IMPOSED
        case Failed(misfit=True):
            return Finished()
        case _:
            return outcome


def within_form(outcome: Outcome | Finished, terms: Terms) -> Outcome | Finished:
    """Return what `outcome` says about the model's way to keep to the form that `terms` demand."""
    match outcome:
        case Failed(misfit=True, cut=cut) if not (cut and terms.capped):
            return outcome
        case Blank() | Failed() | TimedOut():
            return IMPOSED
        case _:
            return outcome


IMPOSED = Cancelled("its caller's terms left no room for an answer")
"""What an attempt counts as that has shown its caller's terms, and nothing of its model."""
