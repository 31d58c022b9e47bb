"""`make chaos`: an hour of random faults on three hosts under load; `--seed` plays them again."""

import argparse
import math
import secrets
import sys
import tempfile
from pathlib import Path

from tests.cluster.chaos import Fault, play
from tests.cluster.cluster import running
from tests.cluster.hosts import ROOT, lacking
from tests.cluster.load import Load, Traffic
from tests.cluster.report import figures, unexpected, write
from tests.cluster.verdict import Tally

TRAFFIC = Traffic(per_second=28.0, streams=4, words=150, pause_s=2.0)
"""A hundred thousand requests an hour, and streams of five minutes."""

SHORT = Traffic(per_second=0.0, streams=4, words=6, pause_s=2.0)
"""As fast as the long ones: a stream that is far slower than others of its model is handed on."""


def main() -> int:
    """Play, write the report, and return 1 if a request did not get what it was owed, or a fault was not overcome."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--report", type=Path, default=ROOT / "benchmarks/results/chaos.json")
    asked = parser.parse_args()
    if reason := lacking():
        print(reason)  # noqa: T201
        return 2
    print(f"seed {asked.seed}", flush=True)  # noqa: T201
    faults: list[Fault] = []
    with tempfile.TemporaryDirectory() as folder, running(3, Path(folder)) as cluster:
        load, short = Load(cluster.hosts, TRAFFIC), Load(cluster.hosts, SHORT)
        try:
            with load, short:
                for fault in play(cluster, asked.seed, asked.seconds, lambda line: print(line, flush=True)):  # noqa: T201
                    faults.append(fault)  # noqa: PERF402 - what was played is reported, whatever ends it
        finally:
            tally = Tally.joined(load.tally, short.tally)
            write(figures(tally, faults, asked.seed), tally, asked.report)
            print(tally)  # noqa: T201
    return 1 if unexpected(tally, faults) or any(math.isinf(fault.whole_after_s) for fault in faults) else 0


if __name__ == "__main__":
    sys.exit(main())
