"""Permission to make one attempt."""

import math

from msgspec import Struct

from deployments.policy.attempt import Candidate
from deployments.policy.breaker import Admission, Span
from deployments.policy.silence import Patience
from deployments.policy.terms import Terms


class Permit(Struct, eq=False):
    """Permission to make one attempt, to be handed back with its outcome.

    Attributes:
        candidate: the model that may be asked.
        started: the time at which the permit was given.
        terms: the terms of the request.
        admission: the permission of the model's breaker.
        form_admission: the permission of the breaker for the model and the demanded form; `None` without a form.
        unloaded: hardly any other attempt on this model was under way when the permit was given.
        patience: for how long the attempt may be silent.
        suspected: the model has been silent for too long before, and has answered nobody since.
        first_s: seconds until the first content of a stream; infinite before that, and for a whole answer.
        silent: the attempt has been silent for so long as to count as silent.
        charged: its silence is recorded as a failure.
        watched: the attempt has been overtaken, and runs on to tell whether its model answers or is silent.
        late: the attempt has been overtaken, has failed by its silence, and runs on to tell whether it is answered all
            the same.
        returned: the permit has been handed back.
    """

    candidate: Candidate
    started: float
    terms: Terms
    admission: Admission
    form_admission: Admission | None
    unloaded: bool
    patience: Patience = Patience()
    suspected: bool = False
    first_s: float = math.inf
    silent: bool = False
    charged: bool = False
    watched: bool = False
    late: bool = False
    returned: bool = False

    @property
    def probe(self) -> bool:
        """Whether the attempt tests if a model whose breaker was open works again, or keeps to a form again."""
        return self.admission.probe or (self.form_admission is not None and self.form_admission.probe)

    def until(self, now: float) -> Span:
        """Return the span of an attempt that ends at `now`."""
        return Span(self.started, now)
