"""After a step that failed, the engine is used again only where no prompt can have been left half read."""

from types import SimpleNamespace
from typing import Any

import openvino_genai as genai
import pytest

from deployments.generation import Sampling
from deployments.generation.openvino_engine import OpenVINOEngine
from deployments.generation.prompt_lookup import NO_LOOKUP


class Pipeline:
    """Fails in its first step; who is cancelled leaves with the second."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.steps = 0
        self.handles: list[Any] = []

    def add_request(self, *_: Any) -> Any:
        handle = SimpleNamespace(status=genai.GenerationStatus.RUNNING, can_read=lambda: False)
        handle.get_status = lambda: handle.status
        handle.cancel = lambda: setattr(handle, "status", genai.GenerationStatus.CANCEL)
        self.handles.append(handle)
        return handle

    def has_non_finished_requests(self) -> bool:
        return any(handle.status == genai.GenerationStatus.RUNNING for handle in self.handles)

    def step(self) -> None:
        self.steps += 1
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("it failed"), MemoryError(), IndexError("out of range")])
@pytest.mark.parametrize("unwanted", [True, False])
def test_an_engine_whose_prompts_fit_one_step_is_used_again(error: Exception, *, unwanted: bool) -> None:
    pipeline = Pipeline(error)
    engine = OpenVINOEngine(pipeline, NO_LOOKUP)
    request = engine.add([1] * 20, Sampling(4, 0.0, 9.0))
    if unwanted:
        request.cancel()
    with pytest.raises(type(error)):
        engine.step()
    request.cancel()

    engine.recover()

    assert not pipeline.has_non_finished_requests()
    assert not engine.leaving()


def test_an_engine_with_a_prompt_that_may_be_half_read_is_of_no_use_any_more() -> None:
    engine = OpenVINOEngine(Pipeline(RuntimeError("it failed")), NO_LOOKUP)
    request = engine.add([1] * 500, Sampling(4, 0.0, 9.0))
    assert engine.unread() == 500
    with pytest.raises(RuntimeError, match="it failed"):
        engine.step()
    request.cancel()

    with pytest.raises(RuntimeError, match="half read"):
        engine.recover()
