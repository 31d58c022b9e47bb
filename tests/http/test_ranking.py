"""Reranking and scores over HTTP: of a real cross-encoder, in batches, and nobody else's scores in their place."""

from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.formats import load_model
from deployments.formats.sentence import RecipeError
from deployments.policy.outcome import Answered, Outcome
from deployments.settings import HuggingFaceSpec
from tests.formats import bert
from tests.http.test_embeddings import Loaded, Scripted, a_router
from tests.http.wire import send
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.scores import score_of

RERANK, SCORE = "/v1/rerank", "/v1/score"
QUERY, DOCUMENTS = "who is here", ["the cat sat on a mat", "paris", "who is in paris"]
ASKED: dict[str, Any] = {"model": "m", "query": QUERY, "documents": DOCUMENTS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a cross-encoder."""
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    return bert.folder(tmp_path / "weights", "text-ranking")


def a_model(folder: Path, **more: Any) -> Any:
    source = {"kind": "path", "path": str(folder)}
    fields = {"format": "huggingface", "id": "m", "task": "text-ranking", "sources": [source], "dtype": "float32"}
    return load_model(HuggingFaceSpec.model_validate({**fields, "device": "cpu", **more}), folder)


def scores_of(folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """What transformers itself says, one pair at a time."""
    model, tokenizer = bert.direct(folder, "text-ranking"), bert.tokenizer()
    with torch.inference_mode():
        return [float(model(**tokenizer(*pair, return_tensors="pt")).logits.sigmoid()) for pair in pairs]


async def test_documents_come_back_in_the_order_of_their_scores(folder: Path) -> None:
    router = a_router({"m": (Loaded(a_model(folder)), "m")})
    await router._registry.refresh()

    told = (await send(router, RERANK, {**ASKED, "documents": [*DOCUMENTS[:2], {"text": DOCUMENTS[2]}]})).json()
    best = (await send(router, "/v2/rerank", {**ASKED, "top_n": 1, "return_documents": False})).json()

    expected = scores_of(folder, [(QUERY, document) for document in DOCUMENTS])
    found = {each["index"]: each["relevance_score"] for each in told["results"]}
    assert [found[place] for place in range(3)] == pytest.approx(expected, abs=1e-6)
    assert [each["relevance_score"] for each in told["results"]] == sorted(found.values(), reverse=True)
    assert all(each["document"] == {"text": DOCUMENTS[each["index"]]} for each in told["results"])
    assert [(each["index"], "document" in each) for each in best["results"]] == [(told["results"][0]["index"], False)]
    assert (told["model"], told["neverblank"]["served_by"], told["usage"]["prompt_tokens"]) == ("m", "primary", 29)


async def test_an_order_has_the_meta_of_coheres_format_or_that_of_its_remote_model(faulty: FaultyUpstream) -> None:
    router = a_router({"m": (Scripted(Answered([[0.5]] * 3)), "m")}, remotes={"far": far(faulty, "scores-cohere")})
    await router._registry.refresh()

    ours, theirs = [(await send(router, "/v2/rerank", {**ASKED, "model": model})).json() for model in ("m", "far")]
    scored = (await send(router, SCORE, {"model": "m", "text_1": QUERY, "text_2": DOCUMENTS})).json()

    assert ours["meta"] == {"api_version": {"version": "2"}}
    assert theirs["meta"]["tokens"] == {"input_tokens": 7, "output_tokens": 0}
    assert "meta" not in scored


@pytest.mark.parametrize("names", [("text_1", "text_2"), ("queries", "documents")])
async def test_scores_are_those_of_one_text_with_each_or_of_each_with_one(folder: Path, names: tuple[str, str]) -> None:
    router = a_router({"m": (Loaded(a_model(folder)), "m")})
    await router._registry.refresh()
    several = [QUERY, "paris", "a cat"]

    one = (await send(router, SCORE, {"model": "m", names[0]: QUERY, names[1]: DOCUMENTS})).json()
    each = (await send(router, "/score", {"model": "m", names[0]: several, names[1]: DOCUMENTS})).json()

    for told, firsts in ((one, [QUERY] * 3), (each, several)):
        pairs = list(zip(firsts, DOCUMENTS, strict=True))
        assert [item["score"] for item in told["data"]] == pytest.approx(scores_of(folder, pairs), abs=1e-6)
    assert [item["index"] for item in one["data"]] == [0, 1, 2]


async def test_a_pair_that_is_too_long_is_cut_and_told_or_refused_as_its_spec_says(folder: Path) -> None:
    long = {**ASKED, "documents": ["paris", "the cat " * 40]}
    router = a_router({"m": (Loaded(a_model(folder, long_prompt="truncate")), "m")})
    strict = a_router({"m": (Loaded(a_model(folder, long_prompt="refuse")), "m")})
    for each in (router, strict):
        await each._registry.refresh()

    cut = (await send(router, RERANK, long)).json()
    refused = await send(strict, RERANK, long | {"fallback": False})

    assert cut["truncated"] == [{"index": 1, "tokens": 86, "kept": 32}]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "documents[1]")


@pytest.mark.parametrize(
    "outcome",
    [Answered([[0.5]]), Answered([[0.5, 0.5]] * 3), Answered([[float("inf")]] * 3), Answered("0.5")],
)
async def test_what_are_no_scores_is_a_failure_and_no_score_of_another_model_stands_in_their_place(
    outcome: Outcome,
) -> None:
    another = Scripted(Answered([[0.9]] * 3))
    router = a_router(
        {"m": (Scripted(outcome), "m"), "another": (another, "another"), "chat": (Scripted(Answered("Hi")), "")},
        models={"m": {"fallbacks": ["another", "chat"]}},
    )
    await router._registry.refresh()

    response = await send(router, RERANK, ASKED)

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
    assert another.requests == []


async def test_a_model_of_the_same_space_answers_for_another_one() -> None:
    twin = Scripted(Answered([[0.1], [0.9], [0.5]]))
    router = a_router(
        {"m": (Scripted(Answered([[0.5]])), "s"), "twin": (twin, "s")}, models={"m": {"fallbacks": ["twin"]}}
    )
    await router._registry.refresh()

    told = (await send(router, RERANK, ASKED)).json()

    assert ([each["index"] for each in told["results"]], told["model"]) == ([1, 2, 0], "twin")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (RERANK, {"query": ""}, "query"),
        (RERANK, {"query": ["a"]}, "query"),
        (RERANK, {"documents": []}, "documents"),
        (RERANK, {"documents": "a"}, "documents"),
        (RERANK, {"documents": ["a", {"image": "b"}]}, "documents[1].text"),
        (RERANK, {"stream": True}, "stream"),
        (RERANK, {"documents": ["a"] * 2049}, "documents"),
        (RERANK, {"top_n": 0}, "top_n"),
        (RERANK, {"return_documents": "yes"}, "return_documents"),
        (RERANK, {"rank_fields": ["text"]}, "rank_fields"),
        (SCORE, {"text_1": "a"}, "text_2"),
        *((path, {}, "query") for path in ("/rerank", "/v2/rerank")),
        ("/score", {}, "text_1"),
        (SCORE, {"text_1": ["a", "b"], "text_2": ["c"]}, "text_1"),
        (SCORE, {"text_1": "a", "text_2": [3]}, "text_2[0]"),
        (RERANK, {"model": "chat"}, "model"),
        (RERANK, {"model": "nobody"}, "model"),
    ],
)
async def test_what_cannot_be_scored_is_refused_by_its_place(path: str, body: dict[str, Any], param: str) -> None:
    router = a_router({"m": (Scripted(Answered([[0.5]])), "m"), "chat": (Scripted(Answered("Hi")), "")})
    await router._registry.refresh()
    asked = {**(ASKED if path == RERANK else {"model": "m"}), **body}

    response = await send(router, path, asked)

    assert response.json()["error"]["param"] == param
    assert response.status_code in {400, 404}


@pytest.mark.parametrize("model", ["chat", "nobody"])
async def test_a_model_that_scores_no_pairs_is_refused_with_the_task_of_those_that_do(model: str) -> None:
    router = a_router({"m": (Scripted(Answered([[0.5]])), "m"), "chat": (Scripted(Answered("Hi")), "")})
    await router._registry.refresh()

    error = (await send(router, RERANK, {**ASKED, "model": model})).json()["error"]

    assert "a model of the task text-ranking" in error["message"]


async def test_models_of_vectors_score_no_pairs_and_those_that_score_make_no_vectors(
    folder: Path, tmp_path: Path, faulty: FaultyUpstream
) -> None:
    vectors = a_model(bert.folder(tmp_path / "vectors", "feature-extraction"), task="feature-extraction")
    remote = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "vectors", "task": "feature-extraction"}
    router = a_router({"m": (Loaded(a_model(folder)), "m"), "v": (Loaded(vectors), "v")}, remotes={"remote": remote})
    await router._registry.refresh()

    scored = await send(router, RERANK, {**ASKED, "model": "v"})
    embedded = await send(router, "/v1/embeddings", {"model": "m", "input": "the cat"})
    elsewhere = await send(router, RERANK, {**ASKED, "model": "remote"})

    assert (scored.status_code, scored.json()["error"]["param"]) == (400, "model")
    assert (embedded.status_code, embedded.json()["error"]["param"]) == (400, "model")
    assert (elsewhere.status_code, elsewhere.json()["error"]["param"], faulty.requests) == (400, "model", [])


def far(faulty: FaultyUpstream, scenario: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{faulty.port}/v1"
    return {"base_url": url, "model": scenario, "task": "text-ranking", "space": "s", **more}


async def test_the_documents_are_put_in_order_by_a_remote_model(faulty: FaultyUpstream) -> None:
    router = a_router({}, remotes={"m": far(faulty, "scores-unsorted")})
    await router._registry.refresh()

    told = (await send(router, RERANK, {**ASKED, "top_n": 2})).json()
    scored = (await send(router, SCORE, {"model": "m", "text_1": QUERY, "text_2": DOCUMENTS})).json()

    best = sorted(range(3), key=lambda place: -score_of(QUERY, DOCUMENTS[place]))[:2]
    assert [(each["index"], each["document"]["text"]) for each in told["results"]] == [
        (place, DOCUMENTS[place]) for place in best
    ]
    assert [each["score"] for each in scored["data"]] == [score_of(QUERY, document) for document in DOCUMENTS]
    assert (told["model"], told["neverblank"]["served_by"], told["usage"]["prompt_tokens"]) == ("m", "primary", 7)


@pytest.mark.parametrize("scenario", ["scores-one-too-few", "scores-wrong-index", "scores-nan", "status-500"])
async def test_all_scores_of_an_answer_are_those_of_one_model_and_of_its_space(
    faulty: FaultyUpstream, scenario: str
) -> None:
    twin, other = Scripted(Answered([[0.1], [0.9], [0.5]])), Scripted(Answered([[0.2]] * 3))
    router = a_router(
        {"twin": (twin, "s"), "other": (other, "t")}, remotes={"m": far(faulty, scenario, fallbacks=["other", "twin"])}
    )
    await router._registry.refresh()

    told = (await send(router, RERANK, ASKED)).json()

    assert [each["relevance_score"] for each in told["results"]] == [0.9, 0.5, 0.1]
    assert (told["model"], told["neverblank"]["degraded"], other.requests) == ("twin", True, [])


@pytest.mark.parametrize(("name", "between"), [("torch.nn.modules.linear.Identity", False), (None, True)])
async def test_a_score_goes_through_the_function_that_its_model_names(
    folder: Path, name: str | None, *, between: bool
) -> None:
    model = bert.direct(folder, "text-ranking")
    model.config.sentence_transformers = {"activation_fn": name} if name else None
    with torch.no_grad():
        model.classifier.bias.fill_(40.0)
    model.save_pretrained(folder)
    router = a_router({"m": (Loaded(a_model(folder)), "m")})
    await router._registry.refresh()

    told = (await send(router, RERANK, ASKED)).json()

    assert all((each["relevance_score"] <= 1.0) is between for each in told["results"])


async def test_a_model_without_a_number_for_a_pair_is_not_loaded(folder: Path) -> None:
    model = bert.direct(folder, "text-ranking")
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    model.save_pretrained(folder)

    with pytest.raises(FloatingPointError, match="NaN"):
        a_model(folder)


def test_a_model_of_several_labels_or_of_an_unknown_function_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    model = bert.direct(folder, "text-ranking")
    model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Softplus"}
    model.save_pretrained(folder)

    with pytest.raises(RecipeError, match="Softplus"):
        a_model(folder)
    with pytest.raises(RecipeError, match="2 labels"):
        a_model(bert.folder(tmp_path / "classes", "text-classification"))
