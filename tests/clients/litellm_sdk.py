"""LiteLLM's package: its calls in OpenAI's formats, and in Anthropic's."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read when it is imported: else it asks the network for prices

import litellm
import pytest

HELLO = [{"role": "user", "content": "Say hello."}]
COUNT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def there(url: str, name: str, provider: str = "openai") -> dict[str, str]:
    base = url if provider == "anthropic" else f"{url}/v1"
    return {"model": f"{provider}/{name}", "api_base": base, "api_key": "none"}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "hosted_vllm"])
def test_completion(url: str, provider: str) -> None:
    answer = litellm.completion(**there(url, "smollm2", provider), messages=HELLO, max_tokens=16)

    assert answer.choices[0].message.content.strip()
    assert answer.usage.completion_tokens > 0


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_stream(url: str, provider: str) -> None:
    stream = await litellm.acompletion(**there(url, "smollm2", provider), messages=HELLO, max_tokens=16, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(pieces).strip()
    assert len(pieces) > 1


def test_tools(url: str) -> None:
    answer = litellm.completion(
        **there(url, "able"),
        messages=[{"role": "user", "content": "How many inhabitants has 'Paris'?"}],
        tools=[{"type": "function", "function": {"name": "count", "parameters": COUNT}}],
    )

    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_responses(url: str) -> None:
    answer = litellm.responses(**there(url, "smollm2"), input="Say hello.")

    assert answer.output[-1].content[0].text.strip()


def test_embedding(url: str) -> None:
    assert len(litellm.embedding(**there(url, "vectors"), input=["One", "Two"]).data) == 2


@pytest.mark.parametrize(("provider", "path"), [("hosted_vllm", ""), ("cohere", ""), ("jina_ai", "/v1/rerank")])
def test_rerank(url: str, provider: str, path: str) -> None:
    asked = {"query": "who is here", "documents": ["the cat sat on a mat", "paris"]}
    told = litellm.rerank(model=f"{provider}/ranking", api_base=url + path, api_key="none", **asked, top_n=2)

    scores = [each["relevance_score"] for each in told.results]
    assert sorted(each["index"] for each in told.results) == [0, 1]
    assert scores == sorted(scores, reverse=True)
