"""Kubernetes' own schemas, and KubeRay's, without a cluster.

Objects of Kubernetes are held to the schemas that `kubernetes-validate` carries, unknown keys refused. A RayService is
held to KubeRay's CustomResourceDefinition, and each of its pod templates to Kubernetes' `PodTemplate`: a cluster would
drop what a CRD does not know without a word, and so would the pods be.

`tests/deploy/rayservice_crd.json` is the definition of August 2026 (KubeRay, Apache-2.0, © The KubeRay Authors), cut
down: without descriptions, and without what is inside of pod templates. `python -m tests.deploy.kubernetes <path>`
makes it from a whole one. The variable `KUBERAY_CRD` has the tests use another one, whole or cut down.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

VERSIONS = ("1.30", "1.34", "1.37")
"""Of Kubernetes: from the oldest that the chart is for to the newest that there are schemas for."""

CRD_VARIABLE = "KUBERAY_CRD"
CUT_DOWN = Path(__file__).with_name("rayservice_crd.json")
RAY_KINDS = frozenset({"RayService"})
_PRESERVED = "x-kubernetes-preserve-unknown-fields"
_DROPPED = frozenset({"description", "example", "format"})

Object = Mapping[str, Any]


class NotValidError(Exception):
    """An object does not fit its schema."""


def require_valid(found: Object, version: str) -> None:
    """Hold `found` to its schema in a version of Kubernetes.

    Raises:
        NotValidError: it does not fit; the message names the place.
    """
    if found["kind"] in RAY_KINDS:
        _require(found, _ray_service_schema())
        for name, template in pod_templates(found):
            _require_kubernetes(
                {"apiVersion": "v1", "kind": "PodTemplate", **_named(name), "template": template}, version
            )
    else:
        _require_kubernetes(found, version)


def pod_templates(service: Object) -> Iterator[tuple[str, Object]]:
    """The pod templates of a RayService, by the names of their groups."""
    cluster = service["spec"]["rayClusterConfig"]
    yield "head", cluster["headGroupSpec"]["template"]
    yield from ((group["groupName"], group["template"]) for group in cluster.get("workerGroupSpecs", ()))


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def _require_kubernetes(found: Object, version: str) -> None:
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise NotValidError(f"{found['kind']} {'.'.join(map(str, error.path))}: {error.message}") from error


def _require(found: Object, schema: Mapping[str, Any]) -> None:
    try:
        jsonschema.validate(found, schema, jsonschema.Draft202012Validator)
    except jsonschema.ValidationError as error:
        raise NotValidError(f"{found['kind']} {error.json_path}: {error.message}") from error


@cache
def _ray_service_schema() -> Mapping[str, Any]:
    schema: dict[str, Any] = strict(served_schema(read_crd(Path(os.environ.get(CRD_VARIABLE, CUT_DOWN)))))
    return schema


def read_crd(path: Path) -> dict[str, Any]:
    """The definition in the file at `path`: JSON or YAML, gzipped or not."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return found


def served_schema(crd: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of `v1`."""
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def strict(schema: Any) -> Any:
    """`schema`, in which no object may have a key that it does not know."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get(_PRESERVED) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def cut_down(crd: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with what is needed to check a RayService, and no more."""
    schema = _without_words(served_schema(crd))
    del schema["properties"]["status"]
    schema["properties"]["metadata"] = {"type": "object", _PRESERVED: True}
    return {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}


def _without_words(schema: Any, name: str = "") -> Any:
    if isinstance(schema, list):
        return [_without_words(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if name == "template" and "properties" in schema:
        return {"type": "object", _PRESERVED: True}
    # Below `properties` the keys are names of fields, of which some are called like words of a schema.
    fields = name == "properties"
    return {
        key: _without_words(value, key)
        for key, value in schema.items()
        if fields or not (key in _DROPPED or key.startswith("x-kubernetes-list"))
    }


if __name__ == "__main__":
    CUT_DOWN.write_text(json.dumps(cut_down(read_crd(Path(sys.argv[1]))), separators=(",", ":")) + "\n")
