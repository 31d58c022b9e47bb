"""Puts the files of a project into the wheel, where `neverblank init` finds them: see deployments/cli/layout.py."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProjectFiles(BuildHookInterface[Any]):
    """The hook of the wheel. An editable installation finds the files where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to `build_data`; `version` is `editable` for an installation of a checkout."""
        if version == "editable":
            return
        home = Path(self.root)
        layout = runpy.run_path(str(home / "deployments/cli/layout.py"))
        folder = f"deployments/cli/{layout['CARRIED']}"
        build_data["force_include"] |= {str(home / file): f"{folder}/{file}" for file in layout["project_files"](home)}
