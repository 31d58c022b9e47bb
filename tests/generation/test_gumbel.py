"""Tokens are drawn by their probabilities, and each request of a batch by its own sampling."""

import torch
from transformers import LogitsProcessorList

from deployments.generation import Sampling
from deployments.generation.batch_sampling import batch_logits_processors, processor_arguments
from deployments.generation.gumbel import DrawKeys, gumbel_noise
from tests.generation.requests import future_request

PROBABILITIES = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
LOGITS = PROBABILITIES.log()
GREEDY, HOT = Sampling(8, 0.0, 60.0), Sampling(8, 1.0, 60.0, seed=1)


def processed_logits(samplings: list[Sampling], logits: torch.Tensor = LOGITS) -> torch.Tensor:
    """The logits of a step of a batch after its processors, one row for each request."""
    processors = batch_logits_processors()
    arguments = torch.zeros(processors.tensors_required, len(samplings) + 2, dtype=torch.int32)  # with unused places
    processors.fill_defaults(arguments)
    requests = [future_request(processor_arguments(sampling, LogitsProcessorList())) for sampling in samplings]
    processors.prepare_tensor_args(requests, arguments)
    processed: torch.Tensor = processors(torch.zeros(0), logits.expand(len(samplings), -1).clone(), arguments)
    return processed


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    draw_keys = DrawKeys(3)
    keys = torch.tensor([draw_keys.next() for _ in range(40_000)])

    drawn = (LOGITS + gumbel_noise(keys, 5)).argmax(-1).bincount(minlength=5) / len(keys)

    assert torch.allclose(drawn, PROBABILITIES, atol=0.01)


def test_the_noise_of_neighbouring_positions_and_seeds_is_uncorrelated() -> None:
    first, second = DrawKeys(1), DrawKeys(2)
    keys = [first.next(), first.next(), second.next()]
    rows = gumbel_noise(torch.tensor(keys), 50_000)

    assert len(set(keys)) == 3
    assert torch.corrcoef(rows).fill_diagonal_(0).abs().max() < 0.02


def test_the_logits_of_a_greedy_request_stay_as_they_are_whatever_else_is_in_the_batch() -> None:
    rows = processed_logits([HOT, GREEDY, HOT])

    assert torch.equal(rows[1], LOGITS)
    assert not torch.equal(rows[0], LOGITS)


def test_a_request_is_sampled_from_its_own_nucleus() -> None:
    narrow, wide = Sampling(8, 1.0, 60.0, top_p=0.5), Sampling(8, 1.0, 60.0, top_p=0.8)

    kept = processed_logits([narrow, wide, HOT]).isfinite().sum(-1)

    assert kept.tolist() == [1, 3, 5]


def test_a_request_is_sampled_from_the_tokens_that_its_top_k_and_min_p_keep() -> None:
    two, quarter = Sampling(8, 1.0, 60.0, top_k=2), Sampling(8, 1.0, 60.0, min_p=0.25)
    likeliest, both = Sampling(8, 1.0, 60.0, min_p=1.0), Sampling(8, 1.0, 60.0, top_k=4, min_p=0.5)

    kept = processed_logits([two, quarter, likeliest, both, HOT, GREEDY]).isfinite().sum(-1)

    assert kept.tolist() == [2, 3, 1, 2, 5, 5]


def test_the_hotter_a_request_the_less_its_logits_matter() -> None:
    cool, hot = Sampling(8, 0.1, 60.0, seed=1), Sampling(8, 2.0, 60.0, seed=1)
    same_noise = gumbel_noise(torch.tensor([DrawKeys(1).next()]), 5)[0]

    rows = processed_logits([cool, hot])

    assert torch.allclose(rows[0], LOGITS / 0.1 + same_noise)
    assert torch.allclose(rows[1], LOGITS / 2.0 + same_noise)
