"""The sampling that a GGUF file recommends is read without the rest of the file."""

from pathlib import Path

import pytest
from gguf import GGUFWriter

from deployments.sources.gguf_metadata import recommended_sampling


def written(at: Path, **sampling: float) -> Path:
    writer = GGUFWriter(at, "llama")
    writer.add_name("a name")
    writer.add_tags(["one", "two"])
    for name, value in sampling.items():
        if isinstance(value, int):
            writer.add_int32(f"general.sampling.{name}", value)
        else:
            writer.add_float32(f"general.sampling.{name}", value)
    writer.add_context_length(128)
    writer.add_token_list(["a", "b"] * 1000)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return at


def test_what_a_file_recommends_is_read_by_the_names_of_requests(tmp_path: Path) -> None:
    file = written(tmp_path / "m.gguf", temp=0.5, top_k=20, top_p=0.75, min_p=0.125, penalty_repeat=1.5, mirostat=1)

    assert recommended_sampling(file) == {
        "temperature": 0.5, "top_k": 20, "top_p": 0.75, "min_p": 0.125, "repetition_penalty": 1.5,
    }  # fmt: skip


def test_a_file_that_recommends_nothing_and_one_that_is_damaged_give_nothing(tmp_path: Path) -> None:
    whole = written(tmp_path / "m.gguf", temp=0.5).read_bytes()

    assert recommended_sampling(written(tmp_path / "plain.gguf")) == {}
    for size in range(0, 200, 7):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        assert set(recommended_sampling(tmp_path / "cut.gguf")) <= {"temperature"}
    with pytest.raises(FileNotFoundError):
        recommended_sampling(tmp_path / "none.gguf")
