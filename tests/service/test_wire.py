"""What else clients speak, through all of the real service: vectors, tokens, compressed bodies, HTTP/1.0, OPTIONS."""

import gzip
import json
import socket
from typing import Any

import pytest
from openai import OpenAI

from tests.service.service import Service, eventually

TEXTS = ["the cat sat", "a mat in paris"]


def test_openais_client_gets_the_vectors_of_a_model_of_our_own(service: Service) -> None:
    client = OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key="none", max_retries=0, timeout=60)

    packed = client.embeddings.create(model="vectors", input=TEXTS)  # as base64, which it asks for by itself
    plain = client.embeddings.create(model="vectors", input=TEXTS, encoding_format="float")

    native = service.http.post("/v1/infer/vectors", json={"input": TEXTS}).json()["result"]
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    for item, vector in zip(plain.data, native, strict=True):
        assert item.embedding == pytest.approx(vector, abs=1e-5)
    assert (packed.model, packed.usage.prompt_tokens > 0) == ("vectors", True)


@pytest.mark.parametrize("model", ["smollm2", "backup", "vectors"])
def test_a_models_own_tokenizer_tells_tokens_and_their_text(service: Service, model: str) -> None:
    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        # A further replica of the backup may be loading: nobody stands in for it.
        def answer() -> dict[str, Any] | None:
            response = service.http.post(path, json={"model": model, **body})
            return response.json() if response.status_code == 200 else None

        return eventually(answer, 120)

    told = ask("/tokenize", {"prompt": "the cat"})
    back = ask("/detokenize", {"tokens": told["tokens"]})

    assert (told["count"], told["max_model_len"] > 10) == (len(told["tokens"]), True)
    assert "the cat" in back["prompt"]


def test_a_chat_has_as_many_tokens_as_the_model_has_read(service: Service) -> None:
    asked: dict[str, Any] = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}]}

    told = service.http.post("/tokenize", json=asked).json()
    answer = service.http.post("/v1/chat/completions", json={**asked, "max_tokens": 4, "temperature": 0}).json()

    assert (answer["model"], answer["usage"]["prompt_tokens"]) == ("smollm2", told["count"])


def test_a_compressed_body_is_read_and_what_does_not_exist_is_told(service: Service) -> None:
    body = gzip.compress(json.dumps({"text": "Hi"}).encode())

    answer = service.http.post("/v1/infer/narrator", content=body, headers={"content-encoding": "gzip"})
    missing = service.http.post("/v1/nothing", json={})
    methods = service.http.options("/v1/chat/completions")

    assert answer.status_code == 200
    assert (missing.status_code, "/v1/nothing" in missing.json()["error"]["message"]) == (404, True)
    assert (methods.status_code, methods.headers["allow"]) == (204, "POST, OPTIONS")
    assert [service.http.get(path).status_code for path in ("/health", "/version")] == [200, 200]


def test_a_caller_of_http_1_0_is_streamed_to_without_chunks(service: Service) -> None:
    body = json.dumps({"text": "Hi", "stream": True, "model": "narrator"}).encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as wire:
        wire.sendall(b"POST /v1/infer HTTP/1.0\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        written = b"".join(iter(lambda: wire.recv(1 << 16), b""))

    top, _, text = written.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower()
    assert text.startswith(b"event: token\n")
    assert b"\nevent: done\n" in text
