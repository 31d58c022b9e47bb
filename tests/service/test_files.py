"""Models that are files, on the real service: the artefact's own answers, and the backup's for what is not loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import serve

from tests.formats import causal
from tests.formats.artefacts import ROWS, Linear, classifier
from tests.service.conftest import SECRET, SECRET_VARIABLE
from tests.service.service import Service, eventually


def state(service: Service, model: str) -> str:
    states = {facts["id"]: facts["state"] for facts in service.http.get("/v1/models").json()["data"]}
    return str(states.get(model))


def answer_of(service: Service, model: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask a model that shares its process. It is loaded when it is asked for, for which the backup answers."""

    def answered() -> dict[str, Any] | None:
        answer, _ = service.ask(body, model)
        return answer if answer["served_by"] == "primary" else None

    service.wait_ready(model)
    return eventually(answered, 240)


def test_a_pickled_pipeline_answers_over_http_and_through_the_handle(service: Service, cluster: None) -> None:
    expected = classifier().predict(ROWS).tolist()

    answer = answer_of(service, "sklearn", {"input": ROWS, "max_tokens": 4})
    by_handle = serve.get_app_handle("neverblank").infer.remote({"input": ROWS}, "sklearn").result()

    assert (answer["result"], answer["served_by"]) == (expected, "primary")
    assert by_handle["result"] == expected


def test_an_exported_program_answers_over_http(service: Service) -> None:
    answer = answer_of(service, "torch", {"input": [[1.0, 2.0, 3.0]], "max_tokens": 4})

    assert answer["result"] == Linear()(torch.tensor([[1.0, 2.0, 3.0]])).tolist()


def test_a_classifier_answers_over_http_and_by_openais_api_in_json(service: Service) -> None:
    answer = answer_of(service, "bert", {"text": "the cat sat"})
    chat = {"model": "bert", "messages": [{"role": "user", "content": "the cat sat"}]}
    completion = service.http.post("/v1/chat/completions", json=chat).json()

    assert {score["label"] for score in answer["result"]} == {"calm", "loud"}
    assert completion["model"] == "bert"
    assert json.loads(completion["choices"][0]["message"]["content"]) == answer["result"]


@pytest.mark.parametrize("model", ["skops", "torchscript", "state-dict"])
def test_a_file_of_every_form_answers_as_it_does_when_it_is_called(service: Service, cluster: None, model: str) -> None:
    expected: Any = classifier().predict(ROWS).tolist() if model == "skops" else Linear()(torch.tensor(ROWS)).tolist()

    answer = answer_of(service, model, {"input": ROWS, "max_tokens": 4})
    by_handle = serve.get_app_handle("neverblank").infer.remote({"input": ROWS}, model).result()

    assert (answer["result"], answer["served_by"]) == (expected, "primary")
    assert by_handle["result"] == expected


@pytest.mark.parametrize(("model", "text"), [("qwen2", "Hello"), ("gguf", "raining")])
def test_a_language_model_in_a_folder_writes_what_transformers_makes_of_it(
    service: Service, cluster: None, files: dict[str, Path], model: str, text: str
) -> None:
    weights = files[model].parent / f"{model}-weights"
    source = weights / "tiny.gguf" if model == "gguf" else weights
    expected = causal.direct(source, text, 6).rstrip("\ufffd")  # half a character at its end is left out
    body = {"text": text, "max_tokens": 6, "temperature": 0}

    answer = answer_of(service, model, body)
    by_handle = serve.get_app_handle("neverblank").infer.remote(body, model).result()

    assert (answer["result"], by_handle["result"]) == (expected, expected)


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("sklearn", [[1.0]], "1 features"),
        ("sklearn", [["x", "y", "z"]], "could not convert"),
        ("skops", [[1.0]], "1 features"),
        ("torch", [[1.0]], "shape"),
        ("torch", "text", "no tensor"),
        ("torchscript", "text", "no tensor"),
        ("state-dict", [["x"]], "no tensor"),
    ],
)
def test_what_a_model_cannot_read_is_named_and_opens_no_breaker(
    service: Service, model: str, given: object, said: str
) -> None:
    service.wait_ready(model)

    refused = service.http.post(f"/v1/infer/{model}", json={"input": given})

    error = refused.json()["error"]
    assert (refused.status_code, error["field"]) == (400, "input")
    assert said in error["message"]
    assert service.status()["models"][model]["breaker"] == "closed"


@pytest.mark.parametrize("model", ["sklearn", "skops", "torch", "torchscript", "state-dict", "bert", "qwen2"])
def test_a_request_without_content_is_refused_before_any_model_is_asked(service: Service, model: str) -> None:
    refused = service.http.post(f"/v1/infer/{model}", json={"text": "  "})

    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "text")


@pytest.mark.parametrize(("model", "why"), [("evil", "fickling calls it malicious"), ("unpinned", "pin it: sha256:")])
def test_what_is_not_to_be_loaded_is_answered_by_the_backup_with_the_reason(
    service: Service, files: dict[str, Path], model: str, why: str
) -> None:
    def answered_for() -> dict[str, Any] | None:
        """A model that shares its process is loaded, and fails to be, when it is asked."""
        answer, _ = service.ask({"input": ROWS, "max_tokens": 4}, model)
        return answer if why in answer["attempts"][0]["reason"] else None

    answer = eventually(answered_for, 60, every_s=0.5)

    assert answer["served_by"] == "backup"
    eventually(lambda: state(service, model) == "failed", 60, every_s=0.5)
    assert not (files[model].parent / "mark").exists()


def test_code_in_a_models_file_finds_no_credentials(service: Service) -> None:
    service.wait_ready("reveal")

    answer, _ = service.ask({"input": [SECRET_VARIABLE, "HOME"]}, "reveal")

    secret, home = answer["result"]
    assert secret == ["", f"{SECRET_VARIABLE}="]
    assert home[0]
    assert SECRET not in str(answer)


def test_vectors_come_from_a_model_of_their_space_and_otherwise_not_at_all(service: Service, cluster: None) -> None:
    service.wait_ready("vectors")
    body = {"input": ["the cat", "sat"], "timeout": 60}

    answered = service.http.post("/v1/infer/vectors", json=body, timeout=70)
    nobody = service.http.post("/v1/infer/vectors", json={**body, "tiers": ["backup"]})
    by_handle = serve.get_app_handle("neverblank").infer.remote({**body, "tiers": ["backup"]}, "vectors").result()

    told = answered.json()
    assert ([len(vector) for vector in told["result"]], told["served_by"]) == ([16, 16], "primary")
    assert told["extras"]["body"]["space"] == "vectors"
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (503, "vector_unavailable")
    assert ("result" in nobody.json(), "result" in by_handle) == (False, False)
    assert by_handle["error"]["code"] == "vector_unavailable"
