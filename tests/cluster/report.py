"""The report of an hour of chaos: figures as JSON, and answers by tier over time with the faults marked."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.chaos import Fault
from tests.cluster.verdict import TIERS, Sent, Tally, Verdict

BUCKET_S = 5.0
NOTICED_S = 10.0
"""Seconds after a fault within which a connection breaks that it has broken."""


def figures(tally: Tally, faults: Sequence[Fault], seed: int) -> dict[str, Any]:
    """The figures of a run. Times are seconds since its first request."""
    origin = tally.sent[0].started
    waits = sorted(min(one.first_s, one.seconds) for one in tally.sent)
    return {
        "seed": seed,
        "requests": len(tally.sent),
        "verdicts": tally.counts,
        "unexpected": len(unexpected(tally, faults)),
        "served_by": Counter(one.served_by or "nobody" for one in tally.sent),
        "seconds": {"p50": waits[len(waits) // 2], "p99": waits[len(waits) * 99 // 100], "slowest": waits[-1]},
        "bad": [
            {
                "at": round(one.started - origin, 1),
                "verdict": verdict,
                "kind": one.kind,
                "host": one.host,
                "seconds": round(one.seconds, 2),
                "status": one.status,
                "error": one.error,
                "attempts": one.attempts,
            }
            for verdict, one in tally.bad
        ],
        "faults": [
            {
                "name": fault.name,
                "host": fault.host,
                "from": round(fault.since - origin, 1),
                "to": round(fault.until - origin, 1),
                "whole_after_s": round(fault.whole_after_s, 1) if math.isfinite(fault.whole_after_s) else "never",
                **_during(tally, fault),
            }
            for fault in faults
        ],
    }


def unexpected(tally: Tally, faults: Sequence[Fault]) -> list[tuple[Verdict, Sent]]:
    """Those that did not get what they were owed, but for streams that a fault has broken off with their router."""
    return [
        (verdict, one)
        for verdict, one in tally.bad
        if verdict is not Verdict.BROKEN
        or not any(fault.since <= one.started + one.seconds <= fault.until + NOTICED_S for fault in faults)
    ]


def _during(tally: Tally, fault: Fault) -> dict[str, Any]:
    """What requests got that were sent while a fault was there."""
    pairs = zip(tally.verdicts, tally.sent, strict=True)
    counts = Counter(verdict.value for verdict, one in pairs if fault.since <= one.started < fault.until)
    settled = round(tally.slowest_s(fault.since + 3.0, fault.until), 2)
    return {"verdicts": counts, "slowest_after_3_s": settled}


def write(found: Mapping[str, Any], tally: Tally, file: Path) -> None:
    """Write `file` with the figures, and the plot beside it as SVG where there is matplotlib (the extra `bench`)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    origin = tally.sent[0].started
    figure = Figure(figsize=(14, 5))
    axes = figure.subplots()
    colours = dict(zip((*TIERS, "not answered"), ("tab:green", "tab:orange", "tab:red", "black"), strict=True))
    series: dict[str, Counter[int]] = {name: Counter() for name in colours}
    for verdict, one in zip(tally.verdicts, tally.sent, strict=True):
        if verdict != Verdict.UNREACHABLE:
            name = one.served_by if one.served_by in TIERS else "not answered"
            series[name][int((one.started - origin) // BUCKET_S)] += 1
    last = max(max(counts, default=0) for counts in series.values())
    for name, counts in series.items():
        axes.plot(
            [n * BUCKET_S for n in range(last + 1)], [counts[n] for n in range(last + 1)], colours[name], label=name
        )
    for fault in found["faults"]:
        axes.axvspan(fault["from"], fault["to"], alpha=0.12, color="tab:blue")
        axes.text(fault["from"], axes.get_ylim()[1], fault["name"], rotation=60, fontsize=6, va="bottom")
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"answers in {BUCKET_S:g} s")
    axes.legend()
    figure.savefig(file.with_suffix(".svg"), bbox_inches="tight")
