"""`python -m tests.simulation --seed N`: run one seed, tell what happened, and what of it is wrong.

`--first N --count M` runs many, and tells how often each rare state was reached.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator

from tests.simulation.invariants import faults
from tests.simulation.many import check_range
from tests.simulation.sometimes import every, reached
from tests.simulation.world import Run, draw_world, run_world

_CREATED = re.compile(rb'"created":\d+,')
"""The seconds of the real clock, which is all that two runs of one seed differ in."""


def tell(run: Run) -> Iterator[str]:
    """What there was in a world, then what happened, in the order of time."""
    world = run.world
    yield f"seed {world.seed}, a world of the kind {world.kind!r}; policy: {world.policy}"
    for name, life in world.lives.items():
        moods = ", ".join(f"{mood} from {since:.2f} s" for since, mood in life.moods)
        yield f"  {name}: {moods}; takes {life.usual_s:g} to {life.usual_s + life.spread_s:g} s"
    yield from (line for _, line in sorted(_events(run), key=lambda event: event[0]))
    yield f"reached: {', '.join(sorted(reached(run))) or 'no rare state'}"


def _events(run: Run) -> Iterator[tuple[float, str]]:
    for done in run.exchanges:
        ask, at = done.ask, done.started
        wants = f"{ask.style}{' streamed' * ask.stream} within {ask.timeout_s:.3g} s"
        yield at, f"{at:9.3f}  {ask.token} asks: {wants} {ask.body[:160].decode(errors='replace')}"
        for moment, chunk in done.chunks:
            yield moment, f"{moment:9.3f}  {ask.token} gets {_CREATED.sub(b'', chunk)[:200]!r}"
        if done.left is not None:
            yield done.left, f"{done.left:9.3f}  {ask.token} leaves"
        if done.ended is not None:
            yield done.ended, f"{done.ended:9.3f}  {ask.token} is answered: {done.status}"
    for call in run.record.calls:
        yield call.started, f"{call.started:9.3f}  {call.token} call {call.number} on {call.model}"
        if call.ended is not None:
            said = f" after {call.texts}" if call.texts else ""
            yield (
                call.ended,
                f"{call.ended:9.3f}  {call.token} call {call.number} on {call.model}: {call.outcome}{said}",
            )
    for at, what, detail in run.record.events:
        yield at, f"{at:9.3f}  {what} {detail}"


def main() -> int:
    """Run what is asked for; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    if given.seed is not None:
        run = run_world(draw_world(given.seed))
        wrong = faults(run)
        sys.stdout.write("\n".join([*tell(run), *(f"WRONG: {fault}" for fault in wrong)]) + "\n")
        return bool(wrong)
    began = time.monotonic()
    tally = check_range(given.first, given.count)
    seconds = time.monotonic() - began
    counts = [f"{tally.reached[name]:8}  {name}" for name in sorted(every())]
    told = f"{tally.seeds} seeds, {tally.requests} requests, {seconds:.0f} s"
    sys.stdout.write("\n".join([*counts, told, tally.explain()]) + "\n")
    return bool(tally.failed)


if __name__ == "__main__":
    sys.exit(main())
