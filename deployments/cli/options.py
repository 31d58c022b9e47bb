"""The arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.http_client import DEFAULT_URL, default_url
from deployments.ray_serve.serve_config import SERVE_CONFIG

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Url = Annotated[
    str,
    typer.Option(
        help="The service's address; also NEVERBLANK_URL.", default_factory=default_url, show_default=DEFAULT_URL
    ),
]

DEFAULT_CONFIG = Path(SERVE_CONFIG)
"""The Serve config of commands that are given none; a relative path starts at the project's root."""
