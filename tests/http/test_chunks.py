"""The chunks of a stream: what is written once around many texts is what would be written around each."""

from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.http.chunks import Chunks
from deployments.http.completions import CHAT, COMPLETION, Format
from deployments.policy.extras import Extras

Item = tuple[str, str, bool] | Extras
BODIES = st.dictionaries(st.sampled_from(["system_fingerprint", "service_tier", "own"]), st.sampled_from(["a", "b"]))
TEXT = ("Hi", "m", False)
ITEMS: st.SearchStrategy[Item] = st.tuples(st.text(), st.sampled_from(["m", 'n"']), st.booleans()) | BODIES.map(Extras)


@example(form=CHAT, items=[TEXT, Extras({"system_fingerprint": "a"}), TEXT], usage=False)
@given(form=st.sampled_from([CHAT, COMPLETION]), items=st.lists(ITEMS, max_size=8), usage=st.booleans())
def test_each_text_is_sent_in_the_chunk_that_is_made_for_it_alone(
    *, form: Format, items: list[Item], usage: bool
) -> None:
    one, other = (Chunks(form, (), "id", with_usage=usage) for _ in range(2))
    for item in items:
        if isinstance(item, Extras):
            assert list(one.beside(item, "m")) == list(other.beside(item, "m"))
            continue
        text, model, refusal = item
        sent: dict[str, Any] = orjson.loads(one.text(text, model, refusal=refusal).removeprefix(b"data: "))
        alone = other._chunk(model, {"refusal" if refusal else "content": text}, text)
        assert {**sent, "created": 0} == {**alone, "created": 0}
