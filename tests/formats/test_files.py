"""Models that are files: the answers of the real artefact, and nothing loaded that was not meant to be."""

import base64
import math
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
import skops.io
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from deployments.formats import load_model
from deployments.policy.outcome import Answered, Blank, Finished, Outcome, Refused, Rejected
from deployments.request import InferenceRequest
from deployments.request.native import from_python
from deployments.settings import PickleSpec, PyTorchSpec
from deployments.sources.errors import ModelTooLargeError
from deployments.sources.model_file import ModelFileError
from tests.fakes import read_stream, read_whole
from tests.formats.artefacts import (
    ROWS,
    Evil,
    Homemade,
    Linear,
    classifier,
    digest,
    exported,
    pickled,
    state_dict,
    text_classifier,
    torchscript,
)
from tests.request.test_native import LIMITS

X = [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]


@pytest.fixture(autouse=True)
def _models_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models may be below the test's own folder; the environment is put back as it was."""
    before = dict(os.environ)
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    yield
    os.environ.clear()
    os.environ.update(before)


def pickle_spec(file: Path, **more: Any) -> PickleSpec:
    pin = {} if file.suffix == ".skops" else {"sha256": digest(file)}
    return PickleSpec.model_validate({"format": "pickle", "id": "m", "path": str(file), **pin, **more})


def torch_spec(file: Path, kind: str, **more: Any) -> PyTorchSpec:
    fields = {"format": "pytorch", "id": "m", "path": str(file), "kind": kind, "device": "cpu"}
    return PyTorchSpec.model_validate({**fields, "sha256": digest(file), **more})


async def ask(spec: Any, **body: Any) -> Outcome:
    return await read_whole(load_model(spec, Path("unused")), from_python(body, LIMITS))


async def result(spec: Any, **body: Any) -> Any:
    outcome = await ask(spec, **body)
    assert isinstance(outcome, Answered)
    return outcome.result


# --- pickles ----------------------------------------------------------------------------------------


async def test_a_pickled_pipeline_answers_as_it_does_when_it_is_called(tmp_path: Path) -> None:
    model = classifier()
    file = pickled(tmp_path, model)

    assert await result(pickle_spec(file), input=ROWS) == model.predict(ROWS).tolist()
    probabilities = await result(pickle_spec(file, method="predict_proba"), input=ROWS)
    assert probabilities == pytest.approx(model.predict_proba(ROWS))


async def test_a_text_is_one_row_and_gets_one_answer(tmp_path: Path) -> None:
    file = pickled(tmp_path, text_classifier())

    assert await result(pickle_spec(file), text="a great day") == "praise"


async def test_objects_are_the_rows_of_a_frame(tmp_path: Path) -> None:
    rows = [dict(zip("xyz", row, strict=True)) for row in ROWS]

    assert await result(pickle_spec(pickled(tmp_path, classifier())), input=rows) == ["a", "b", "a", "b"]


async def test_a_joblib_file_is_loaded_where_its_spec_vouches_for_what_no_scan_can_read(tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    joblib.dump(classifier(), file)

    with pytest.raises(ModelFileError, match="allow_unsafe_imports"):
        load_model(pickle_spec(file), tmp_path)
    assert await result(pickle_spec(file, allow_unsafe_imports=True), input=ROWS) == ["a", "b", "a", "b"]


async def test_a_skops_file_needs_no_pin(tmp_path: Path) -> None:
    file = tmp_path / "model.skops"
    skops.io.dump(classifier(), file)

    assert await result(pickle_spec(file), input=ROWS) == ["a", "b", "a", "b"]


def test_a_skops_file_of_types_it_does_not_trust_is_refused_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "model.skops"
    skops.io.dump(Homemade(), file)

    with pytest.raises(ModelFileError, match="Homemade"):
        load_model(pickle_spec(file), tmp_path)


async def test_a_method_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no predict or transform"):
        load_model(pickle_spec(pickled(tmp_path, {"weights": [1, 2]})), tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([["x", "y", "z"]], "could not convert"), ([[1.0]], "expecting 3 features"), ([1.0], "2D array")],
)
async def test_rows_that_an_estimator_of_scikit_learn_cannot_read_are_the_callers_fault(
    tmp_path: Path, rows: Any, said: str
) -> None:
    outcome = await ask(pickle_spec(pickled(tmp_path, classifier())), input=rows)

    assert isinstance(outcome, Rejected)
    assert outcome.field == "input"
    assert said in outcome.reason


async def test_an_error_of_the_models_own_is_no_fault_of_the_callers(tmp_path: Path) -> None:
    spec = pickle_spec(pickled(tmp_path, math.log, "p.pkl"), method="call", allow_unsafe_imports=True)

    with pytest.raises(ValueError, match="math domain error"):
        await ask(spec, input=-1)


async def test_an_object_that_returns_nothing_has_a_blank_answer(tmp_path: Path) -> None:
    blank = load_model(
        pickle_spec(pickled(tmp_path, print, "p.pkl"), method="call", allow_unsafe_imports=True), tmp_path
    )
    assert isinstance(await blank.start(from_python({"input": [1]}, LIMITS), 10.0), Blank)


async def test_a_stream_is_given_in_one_piece_and_carries_nothing_on(tmp_path: Path) -> None:
    model = load_model(pickle_spec(pickled(tmp_path, text_classifier())), tmp_path)

    assert await read_stream(model, from_python({"text": "great"}, LIMITS)) == ["praise", Finished()]
    begun = InferenceRequest({"text": "great"}, "great", (), "", 30.0, prefix="It is")
    assert [type(item) for item in await read_stream(model, begun)] == [Refused]


# --- torch ------------------------------------------------------------------------------------------

MAKERS: dict[str, Any] = {"exported": exported, "torchscript": torchscript, "state_dict": state_dict}
TARGETS = {"state_dict": {"target": "tests.formats.artefacts:Linear"}}


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_torch_model_answers_as_it_does_when_it_is_called(tmp_path: Path, kind: str) -> None:
    spec = torch_spec(MAKERS[kind](tmp_path), kind, **TARGETS.get(kind, {}))

    assert await result(spec, input=X) == Linear()(torch.tensor(X)).tolist()


async def test_a_state_dict_needs_no_pin_and_takes_its_classs_arguments(tmp_path: Path) -> None:
    file = tmp_path / "wide.pt"
    torch.save(Linear(4).state_dict(), file)
    spec = torch_spec(file, "state_dict", **TARGETS["state_dict"], arguments={"sizes": 4}, sha256=None)

    assert await result(spec, input=[[1.0, 0.0, 0.0, 0.0]]) == [[0.5, 3.5]]


async def test_large_tensors_come_and_go_as_safetensors(tmp_path: Path) -> None:
    spec = torch_spec(torchscript(tmp_path), "torchscript")
    encoded = base64.b64encode(save_tensors({"x": torch.tensor(X)})).decode()

    answered = await result(spec, input={"safetensors": encoded}, encoding="safetensors")

    tensors = load_tensors(base64.b64decode(answered["safetensors"]))
    assert torch.equal(tensors["0"], Linear()(torch.tensor(X)))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1.0, 2.0]], r"shape \[1, 2\]; accepted: \['any', 3\]"),
        ([1.0, 2.0, 3.0], "shape"),
        ([["a", "b", "c"]], "nested lists of float32"),
        ([[1.0, 2.0, 3.0], [1.0]], "nested lists"),
        ({"safetensors": "!"}, "base64 safetensors"),
        ({"safetensors": "aGVsbG8="}, "base64 safetensors"),
    ],
)
async def test_what_is_not_the_tensor_that_is_declared_is_named(tmp_path: Path, value: Any, said: str) -> None:
    spec = torch_spec(torchscript(tmp_path), "torchscript", inputs=[{"dtype": "float32", "shape": [None, 3]}])

    outcome = await ask(spec, input=value)

    assert isinstance(outcome, Rejected)
    assert outcome.field == "input"
    assert re.search(said, outcome.reason)


# --- what is not loaded -----------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [True, False])
def test_a_malicious_pickle_is_refused_before_it_can_do_anything(tmp_path: Path, *, pinned: bool) -> None:
    mark = tmp_path / "mark"
    file = pickled(tmp_path, Evil(mark))

    with pytest.raises(ModelFileError):
        load_model(pickle_spec(file, **({} if pinned else {"sha256": None})), tmp_path)

    assert not mark.exists()


def test_a_pickle_without_a_pin_is_refused_with_its_digest_and_what_pinning_means(tmp_path: Path) -> None:
    file = pickled(tmp_path, classifier())

    with pytest.raises(ModelFileError, match=f"sha256: {digest(file)}") as refused:
        load_model(pickle_spec(file, sha256=None), tmp_path)

    assert "can run any code" in str(refused.value)


@pytest.mark.parametrize("kind", ["exported", "torchscript"])
def test_a_program_without_a_pin_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelFileError, match="pin it"):
        load_model(torch_spec(MAKERS[kind](tmp_path), kind, sha256=None), tmp_path)


def test_a_file_that_is_not_the_one_that_was_pinned_is_refused(tmp_path: Path) -> None:
    file = pickled(tmp_path, classifier())
    spec = pickle_spec(file)
    pickled(tmp_path, text_classifier())

    with pytest.raises(ModelFileError, match="not the digest that was pinned"):
        load_model(spec, tmp_path)


def test_a_state_dict_that_is_a_malicious_pickle_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    file = tmp_path / "evil.pt"
    torch.save(Evil(mark), file)

    with pytest.raises(pickle.UnpicklingError):
        load_model(torch_spec(file, "state_dict", **TARGETS["state_dict"]), tmp_path)

    assert not mark.exists()


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_MODEL_SIZE_MB", "1")
    file = tmp_path / "large.pkl"
    with file.open("wb") as large:
        large.truncate(2_000_000)

    with pytest.raises(ModelTooLargeError):
        load_model(pickle_spec(file), tmp_path)


@pytest.mark.parametrize("path", ["../outside.pkl", "link.pkl", "/etc/hostname"])
def test_a_path_or_link_that_leaves_the_model_roots_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    inside = tmp_path / "models"
    inside.mkdir()
    outside = pickled(tmp_path, classifier(), "outside.pkl")
    (inside / "link.pkl").symlink_to(outside)
    monkeypatch.setenv("NEVERBLANK_MODELS", str(inside))
    spec = pickle_spec(outside).model_copy(update={"path": str(inside / path)})

    with pytest.raises(ModelFileError, match="leaves the model roots"):
        load_model(spec, tmp_path)
