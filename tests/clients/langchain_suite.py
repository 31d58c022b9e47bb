"""LangChain's own suite for chat models, whole, over `langchain-openai`.

Every test asks the small model of the service, but for those that its wits decide: `WITS`. These ask a scripted remote
model behind the same service. What the suite would fetch from the web is made here.
"""

import struct
import zlib
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

SMALL, ABLE = "smollm2", "able"

WITS = {
    "test_tool_calling": "it has to find the argument 3 in the question",
    "test_tool_calling_async": "the same",
    "test_bind_runnables_as_tools": "it has to decide for a tool by itself",
    "test_tool_choice": "it has to find the argument 3 in the question",
    "test_tool_calling_with_no_arguments": "it has to decide for a tool by itself",
    "test_structured_few_shot_examples": "it has to end a text within a form",
    "test_structured_output": "it has to end two texts within a form",
    "test_structured_output_async": "the same",
    "test_structured_output_pydantic_2_v1": "the same",
    "test_structured_output_optional_param": "the same",
    "test_json_mode": "it has to take the names of fields from the question",
    "test_agent_loop": "it has to decide for a tool by itself",
    "test_unicode_tool_call_integration": "it has to copy Chinese and Japanese",
    "test_pdf_inputs": "it takes texts only",
    "test_audio_inputs": "it takes texts only",
    "test_image_inputs": "it takes texts only",
    "test_image_tool_message": "it takes texts only",
    "test_anthropic_inputs": "it takes texts only",
}
"""The tests that ask the scripted model, each with the reason."""


def _png() -> bytes:
    """A picture of one white pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\xff\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestChatOpenAI(ChatModelIntegrationTests):
    """The suite."""

    @pytest.fixture(autouse=True)
    def _ask(self, request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Choose the model that a test asks; nothing comes from the web."""
        self._model = ABLE if request.node.originalname in WITS else SMALL
        self._url = url
        monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=_png()))

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Of the suite. `stream_usage` is off by default in LangChain where a `base_url` is given."""
        bounds = {"temperature": 0, "max_tokens": 64, "max_retries": 0, "stream_usage": True}
        return {"base_url": f"{self._url}/v1", "api_key": "none", "model": self._model, **bounds}

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """Of the suite."""
        return ChatOpenAI

    @property
    def model_override_value(self) -> str:
        """Of the suite."""
        return ABLE

    @property
    def supports_json_mode(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_image_inputs(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_image_urls(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        """Of the suite."""
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Of the suite."""
        return True


def test_every_reason_for_the_scripted_model_is_that_of_a_test() -> None:
    assert not {name for name in WITS if not hasattr(ChatModelIntegrationTests, name)}
