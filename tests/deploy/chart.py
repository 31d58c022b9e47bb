"""Renders the chart, by Helm's own library, without a cluster.

`python -m tests.deploy.chart` writes `deploy/kuberay/`: the same as plain manifests, for who has no Helm.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/neverblank"
MANIFESTS = ROOT / "deploy/kuberay"

CASES: Mapping[str, tuple[str, ...]] = {
    "one-node": ("one-node",),
    "high-availability": ("high-availability",),
    "high-availability-redis": ("high-availability", "redis"),
    "incremental-upgrade": ("high-availability", "incremental-upgrade"),
    "gpu": ("high-availability", "gpu"),
}
"""The manifests by name, and the files of values that make each, later ones over earlier ones."""

_HEAD = "# Rendered from deploy/helm/neverblank by `python -m tests.deploy.chart`: change that.\n"


class RefusedError(Exception):
    """The chart's schema refuses the values."""


def values(*files: str, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values of `files`, merged as Helm merges them, and `over` above them all."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merged(merged, yaml.safe_load((CHART / f"values/{file}.yaml").read_text()) or {})
    return _merged(merged, over or {})


def render(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects that the chart makes of the values `given`, by kind and name.

    Raises:
        RefusedError: they do not fit the chart's schema.
    """
    text = "\n---\n".join(rendered(given).values())
    found = [made for made in yaml.safe_load_all(text) if made]
    return sorted(found, key=lambda made: (made["kind"], made["metadata"]["name"]))


def rendered(given: Mapping[str, Any]) -> dict[str, str]:
    """What each template becomes."""
    try:
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(dict(given))
            made: dict[str, str] = chart.render(dict(given), name="neverblank", namespace="default")
    except helm_python.HelmError as error:
        raise RefusedError(str(error)) from error
    return made


def manifest(name: str) -> str:
    """The manifest of a case, as it is kept."""
    objects = render(values(*CASES[name]))
    kept = [made for made in objects if "helm.sh/hook" not in made["metadata"].get("annotations", {})]
    return _HEAD + "---\n".join(
        yaml.safe_dump(json.loads(json.dumps(made)), sort_keys=True, width=120) for made in kept
    )


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in over.items():
        known = made.get(key)
        made[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return made


if __name__ == "__main__":
    MANIFESTS.mkdir(exist_ok=True)
    for case in CASES:
        (MANIFESTS / f"{case}.yaml").write_text(manifest(case))
