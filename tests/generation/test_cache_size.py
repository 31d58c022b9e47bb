"""How large the cache of transformers' continuous batching is."""

from types import SimpleNamespace
from typing import Any

from deployments.generation.cache_size import batching_config
from tests.sources.tiny import model


def on_gpu() -> Any:
    made = model()
    return SimpleNamespace(config=made.config, dtype=made.dtype, device=SimpleNamespace(type="cuda"))


def test_on_a_gpu_the_cache_has_room_for_every_request_and_no_more() -> None:
    batching = batching_config(on_gpu(), 128, 8, 1.0, free_bytes=1 << 37)

    assert batching.num_blocks * batching.page_size == 8 * 128
    assert (batching.max_requests_per_batch, batching.use_cuda_graph, batching.auto_switch_to_flash) == (8, False, True)


def test_on_a_gpu_whose_memory_has_no_room_for_every_request_the_cache_takes_the_replicas_share() -> None:
    whole, half = (batching_config(on_gpu(), 1 << 30, 8, share, free_bytes=1 << 30) for share in (1.0, 0.5))

    assert (whole.num_blocks, half.num_blocks) == (None, None)
    assert (whole.max_memory_percent, half.max_memory_percent) == (0.8, 0.4)


def test_the_cache_of_a_cpu_is_bounded_and_has_room_for_every_request() -> None:
    short, long = batching_config(model(), 128, 8, 1.0), batching_config(model(), 1 << 30, 8, 1.0)
    bytes_a_block = 2 * 1 * 1 * 16 * 4 * short.page_size

    assert short.num_blocks * short.page_size == 8 * 128
    assert long.num_blocks * bytes_a_block == 1 << 30
    assert short.max_batch_tokens == 256
