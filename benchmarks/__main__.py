"""Run benchmarks: all, or those that are named. See `benchmarks`."""

import sys
import time
from importlib import import_module

NAMES = ("router", "gateway", "failover", "streaming", "generation", "grammar", "lookup", "start", "scale", "operated")


def main(names: list[str]) -> int:
    """Run `names`, show and save what each gives; 2 where one of them is none."""
    if unknown := set(names) - set(NAMES):
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        started = time.monotonic()
        report = import_module(f"benchmarks.{name}").run()
        report.show()
        report.save()
        print(f"{name}: {time.monotonic() - started:.0f} s\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
