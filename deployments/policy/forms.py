"""Which models keep to the forms that callers demand: a breaker for each model and kind of form.

A model that ignores `response_format` is well for everybody else. So its misfits count here, and not in its own
breaker: where they open the breaker of a form, the model is put behind for requests of that form, and asked only once
nobody else has answered.
"""

from deployments.policy import breaker
from deployments.policy.breaker import Admission, BreakerPolicy, BreakerState, Closed
from deployments.policy.outcome import PUT_BEHIND, Finished, Outcome, Refused
from deployments.policy.permit import Permit
from deployments.policy.terms import Terms, within_form

BEHIND_FOR_FORM = f"{PUT_BEHIND}, as its last answers had not the form that is demanded"


class FormMemory:
    """The breakers of all models and forms for which there was a misfit of late."""

    def __init__(self) -> None:
        """Begin without observations."""
        self._states: dict[tuple[str, str], BreakerState] = {}

    def ask(self, model: str, terms: Terms, policy: BreakerPolicy, now: float) -> Admission | Refused | None:
        """Ask for permission to try the form of `terms` on `model`; `None` where no form is demanded.

        Nothing changes before `take`.
        """
        if not terms.form:
            return None
        _, admission = breaker.admit(self._states.get((model, terms.form), Closed()), policy, now)
        return Refused(BEHIND_FOR_FORM) if isinstance(admission, Refused) else admission

    def take(self, model: str, terms: Terms, policy: BreakerPolicy, now: float) -> None:
        """Note that the attempt that was asked for is made."""
        if (known := self._states.get((model, terms.form))) is not None:
            self._states[model, terms.form] = breaker.admit(known, policy, now)[0]

    def record(
        self, permit: Permit, outcome: Outcome | Finished, policy: BreakerPolicy, now: float, draw: float
    ) -> None:
        """Note the outcome of an attempt."""
        if permit.form_admission is None:
            return
        key = (permit.candidate.model, permit.terms.form)
        before = self._states.get(key, Closed())
        said = within_form(outcome, permit.terms)
        after = breaker.record(before, policy, permit.form_admission, said, permit.until(now), draw)
        if isinstance(after, Closed) and after.failures == 0 and not after.window.events:
            self._states.pop(key, None)
        else:
            self._states[key] = after

    def forget(self, model: str) -> None:
        """Forget the misfits of `model`."""
        self._states = {key: state for key, state in self._states.items() if key[0] != model}

    def behind(self, model: str) -> list[str]:
        """Return the forms for which `model` is put behind, for `/status`."""
        return [form for (name, form), state in self._states.items() if name == model and not isinstance(state, Closed)]
