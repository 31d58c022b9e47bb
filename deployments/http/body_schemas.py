"""The schemas of all request bodies, made from the structs that read them: for `/openapi.json`, and so for `/docs`.

Each field has `x-accepted`, the words in which an error tells what it accepts. Of an `Any` that is read by itself the
struct says what is `shown` in its place (`does`).
"""

from collections.abc import Iterator, Mapping, Sequence
from inspect import getdoc, isclass
from typing import Any, get_args, get_type_hints

from msgspec import NODEFAULT, Struct, inspect, json

from deployments.request.body_form import BodyForm
from deployments.request.embeddings import EMBEDDINGS_FORM
from deployments.request.messages_fields import MESSAGES_FORM
from deployments.request.native import INFER_FORM
from deployments.request.openai_fields import CHAT_FORM, COMPLETION_FORM
from deployments.request.ranking import RERANK_FORM, SCORE_FORM
from deployments.request.responses_fields import RESPONSES_FORM
from deployments.request.tokens import DETOKENIZE_FORM, TOKENIZE_FORM
from deployments.request.words import accepted, unwrapped

FORMS: Sequence[BodyForm] = (
    INFER_FORM,
    CHAT_FORM,
    COMPLETION_FORM,
    RESPONSES_FORM,
    MESSAGES_FORM,
    EMBEDDINGS_FORM,
    RERANK_FORM,
    SCORE_FORM,
    TOKENIZE_FORM,
    DETOKENIZE_FORM,
)
"""The formats of all requests."""

_REF = "#/components/schemas/{name}"


def body_schemas() -> dict[str, Any]:
    """Return the schemas of all bodies, and of what stands in them, by name."""
    within: dict[str, type[Struct]] = {}
    schemas = {form.name: _schema_of_form(form, within) for form in FORMS}
    named: dict[str, Any] = {}
    while within.keys() - named.keys():
        for name, struct in [*within.items()]:
            named[name] = {"type": "object", "description": getdoc(struct), **_object(_fields(struct, within))}
    return {**schemas, **named}


def described_fields(struct: type[Struct]) -> Mapping[str, tuple[str, str]]:
    """Return what each field of `struct` accepts and does, in words, by its name."""
    told = {}
    for each in _type_of(struct).fields:
        declared = each.type if isinstance(each.type, inspect.Metadata) else inspect.Metadata(each.type)
        told[each.encode_name] = accepted(declared), str((declared.extra_json_schema or {}).get("description", ""))
    return told


def _schema_of_form(form: BodyForm, within: dict[str, type[Struct]]) -> Mapping[str, Any]:
    """Return the schema of a body; the structs in it are added to `within`."""
    found: dict[str, tuple[Any, bool]] = {}
    for part in form.parts if form.passed is None else (*form.parts, form.passed):
        for name, told in _fields(part, within).items():
            if name not in form.refused:
                found.setdefault(name, told)
    others = {"description": form.others} if form.others else False
    return {"type": "object", **_object(found), "additionalProperties": others}


def _object(fields: Mapping[str, tuple[Any, bool]]) -> dict[str, Any]:
    required = [name for name, (_, is_required) in fields.items() if is_required]
    return {"properties": {name: told for name, (told, _) in fields.items()}, "required": required}


def _fields(struct: type[Struct], within: dict[str, type[Struct]]) -> dict[str, tuple[Any, bool]]:
    """Return the schema of each field, by its name, and whether a request has to have it."""
    declared, hints = _type_of(struct).fields, get_type_hints(struct, include_extras=True)
    shown = {each.name: unwrapped(each.type)[1].get("shown", hints[each.name]) for each in declared}
    for annotation in shown.values():
        within |= {inner.__name__: inner for inner in _structs_in(annotation)}
    schemas, _ = json.schema_components(shown.values(), ref_template=_REF)
    words = described_fields(struct)
    found = {}
    for each, schema in zip(declared, schemas, strict=True):
        says, does = words[each.encode_name]
        told = {**_without_null(schema), "description": does, "x-accepted": says}
        if isinstance(each.default, bool | int | str) and each.default != "":
            told["default"] = each.default
        is_required = each.default is NODEFAULT and each.default_factory is NODEFAULT
        found[each.encode_name] = (told, is_required)
    return found


def _structs_in(annotation: Any) -> Iterator[type[Struct]]:
    if isclass(annotation) and issubclass(annotation, Struct):
        yield annotation
    for inner in get_args(annotation):
        yield from _structs_in(inner)


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `schema` without `null`, which is allowed everywhere and counts as not sent."""
    match schema:
        case {"anyOf": [*choices]}:
            left = [choice for choice in choices if choice != {"type": "null"}]
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            return {**left[0], **rest} if len(left) == 1 else {**rest, "anyOf": left}
        case _:
            return schema


def _type_of(struct: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)  # noqa: S101 - that is what the type of a struct is
    return found
