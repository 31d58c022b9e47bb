"""Makes `python -m deployments.cli` the same as `neverblank`."""

from deployments.cli import main

main()
