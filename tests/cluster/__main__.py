"""`make chaos`: an hour of random faults on three hosts under load; `--seed` plays them again."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.cluster.chaos import play
from tests.cluster.cluster import running
from tests.cluster.hosts import ROOT, lacking
from tests.cluster.load import Load, Traffic
from tests.cluster.report import figures, write

TRAFFIC = Traffic(per_second=28.0, streams=4, words=150, pause_s=2.0)
"""A hundred thousand requests an hour, and streams of five minutes."""


def main() -> int:
    """Play, write the report, and return 1 if a request did not get what it was owed."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--report", type=Path, default=ROOT / "benchmarks/results/chaos.json")
    asked = parser.parse_args()
    if reason := lacking():
        print(reason)  # noqa: T201
        return 2
    print(f"seed {asked.seed}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory() as folder, running(3, Path(folder)) as cluster:
        with Load(cluster.hosts, TRAFFIC) as load:
            faults = play(cluster, asked.seed, asked.seconds, lambda line: print(line, flush=True))  # noqa: T201
        tally = load.tally
    found = figures(tally, faults, asked.seed)
    write(found, tally, asked.report)
    print(tally)  # noqa: T201
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
