"""`python -m tests.sources.builder CACHE`: acquire the tiny model and print the name of each event on a line."""

import sys
from pathlib import Path

from deployments.sources import acquire
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import RecordingEvents


class PrintingEvents(RecordingEvents):
    """Prints every event at once."""

    def __getattribute__(self, name: str) -> object:
        if name in {"seen", "source_tried", "__class__"} or name.startswith("_"):
            return super().__getattribute__(name)

        def tell(*_: object) -> None:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()

        return tell


def main() -> None:
    """Acquire the model."""
    events = PrintingEvents()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    acquire(spec(HUB), Path(sys.argv[1]), "auto", events=events)
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
