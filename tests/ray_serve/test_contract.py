"""The assumptions about Ray that this project rests on: after an update of Ray, the rows that fail say which broke.

`contract.py` has the tables. Nothing is started, and nothing private to Ray is imported here, so that one name that is
gone fails one row. `test_contract_in_use.py` tries what a table cannot say.
"""

import dataclasses
import inspect

import pytest
from pydantic import BaseModel
from ray.actor import ActorHandle
from ray.serve._private.client import ServeControllerClient

from tests.ray_serve.contract import CONSTANTS, DEFAULTS, FIELDS, MEMBERS, SIGNATURES, SYMBOLS
from tests.ray_serve.contract_texts import LITERALS, VARIABLES
from tests.ray_serve.installed import CONFIGS, constants_with, find, switches, texts, used_names, used_variables


def test_every_name_that_is_taken_from_ray_has_a_row_and_every_row_is_needed() -> None:
    used = used_names()

    assert used - SYMBOLS.keys() == set(), "say in contract.SYMBOLS what for"
    assert SYMBOLS.keys() - used == set(), "nobody uses these any more: take their rows out of contract.SYMBOLS"


def test_every_variable_of_rays_that_is_set_or_read_has_a_row_and_every_row_is_needed() -> None:
    used = used_variables()

    assert used - VARIABLES.keys() == set(), "say in contract.VARIABLES who reads them and what for"
    assert VARIABLES.keys() - used == set(), "nobody sets these any more: take their rows out of contract.VARIABLES"


@pytest.mark.parametrize("name", SYMBOLS)
def test_ray_has_the_name(name: str) -> None:
    assert find(name) is not None, f"{name} is gone: {SYMBOLS[name]}"


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_is_called_takes_the_parameters(name: str) -> None:
    parameters, why = SIGNATURES[name]
    called = find(name)
    assert called is not None, f"{name} is gone: {why}"

    lacking = set(parameters) - inspect.signature(called).parameters.keys()
    assert not lacking, f"{name} takes no {lacking}: {why}"


@pytest.mark.parametrize("name", FIELDS)
def test_what_serve_gives_has_the_fields(name: str) -> None:
    fields, why = FIELDS[name]
    kind = find(name)
    assert kind is not None, f"{name} is gone: {why}"
    known = kind.model_fields if issubclass(kind, BaseModel) else {field.name for field in dataclasses.fields(kind)}

    assert set(fields) <= set(known), f"{name} has no {set(fields) - set(known)}: {why}"


@pytest.mark.parametrize("name", MEMBERS)
def test_the_states_are_called_as_they_were(name: str) -> None:
    members, why = MEMBERS[name]
    known = {member.value for member in find(name)}

    assert set(members) <= known, f"{name} has no {set(members) - known}: {why}"


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_value_of_rays_is_what_this_project_takes_it_for(name: str) -> None:
    value, why = CONSTANTS[name]

    assert find(name) == value, f"{name} has changed: {why}"


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_is_what_comments_give_as_a_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, why = DEFAULTS[name]

    assert constants_with({}, monkeypatch)[name] == value, f"the default of {name} has changed: {why}"


@pytest.mark.parametrize("name", VARIABLES)
def test_ray_reads_the_variable(name: str) -> None:
    module, why = VARIABLES[name]

    assert name in texts(module), f"{module} does not read {name} any more: {why}"


@pytest.mark.parametrize("literal", LITERALS)
def test_rays_sources_contain_the_text(literal: str) -> None:
    module, why = LITERALS[literal]

    assert literal in texts(module), f"{module} does not know {literal!r} any more: {why}"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_switch_of_a_config_takes_effect(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    effective = constants_with(switches(config), monkeypatch)

    for name, value in switches(config).items():
        expected = int(value) if value.isdigit() else value
        assert effective.get(name) == expected, f"{config} sets {name} to {value!r}: Serve has {effective.get(name)!r}"


@pytest.mark.parametrize("config", CONFIGS)
def test_serve_that_is_optimised_for_throughput_calls_replicas_by_grpc_on_the_callers_own_loop(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    effective = constants_with(switches(config), monkeypatch)

    assert effective["RAY_SERVE_USE_GRPC_BY_DEFAULT"] is True
    assert effective["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] is False
    assert effective["RAY_SERVE_LOG_TO_STDERR"] is False, "it would write a line for each of Serve's events"


def test_serves_client_keeps_the_controller_under_the_name_that_the_registry_asks_it_by() -> None:
    """ray_serve/cluster.py awaits the controller's answer itself, as the client's own method blocks."""
    assert "self._controller" in inspect.getsource(ServeControllerClient.__init__)


def test_the_handle_of_an_actor_keeps_the_actors_id_under_the_name_that_a_services_id_is_made_of() -> None:
    """ray_serve/cluster.py makes the id that travels along with requests of the controller's."""
    assert isinstance(inspect.getattr_static(ActorHandle, "_actor_id"), property)
