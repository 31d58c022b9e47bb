"""Cohere's own package, in both versions of its format: it reranks."""

import cohere
import pytest

QUERY, DOCUMENTS = "who is here", ["the cat sat on a mat", "paris", "who is in paris"]


@pytest.mark.parametrize("version", [cohere.Client, cohere.ClientV2])
def test_rerank(url: str, version: type[cohere.Client | cohere.ClientV2]) -> None:
    asking = version(api_key="none", base_url=url)
    told = asking.rerank(model="ranking", query=QUERY, documents=DOCUMENTS)
    best = asking.rerank(model="ranking", query=QUERY, documents=DOCUMENTS, top_n=1)

    scores = [each.relevance_score for each in told.results]
    assert sorted(each.index for each in told.results) == [0, 1, 2]
    assert scores == sorted(scores, reverse=True)
    assert [each.index for each in best.results] == [told.results[0].index]


async def test_asynchronous(url: str) -> None:
    async with cohere.AsyncClientV2(api_key="none", base_url=url) as asking:
        told = await asking.rerank(model="ranking", query=QUERY, documents=DOCUMENTS)

    assert len(told.results) == len(DOCUMENTS)


def test_errors(url: str) -> None:
    asking = cohere.ClientV2(api_key="none", base_url=url)
    asking.rerank(model="ranking", query=QUERY, documents=DOCUMENTS)

    with pytest.raises(cohere.BadRequestError, match="text-ranking"):
        asking.rerank(model="smollm2", query=QUERY, documents=DOCUMENTS)
