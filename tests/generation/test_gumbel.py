"""Tokens are drawn by their probabilities, each request by its own sampling."""

import torch

from deployments.generation import Sampling
from deployments.generation.batch_sampling import choosers, sampled
from deployments.generation.gumbel import Draws, noise
from tests.generation.requests import request_of

PROBABILITIES = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
LOGITS = PROBABILITIES.log()
GREEDY, HOT = Sampling(8, 0.0, 60.0), Sampling(8, 1.0, 60.0, seed=1)


def chosen(samplings: list[Sampling], top_k: int = 0, logits: torch.Tensor = LOGITS) -> torch.Tensor:
    """The logits of one step of a batch of these requests, as its processors leave them; one row each."""
    processors = choosers(top_k)
    told = torch.zeros(processors.tensors_required, len(samplings) + 2, dtype=torch.int32)  # it has room for more
    processors.fill_defaults(told)
    processors.prepare_tensor_args([request_of(sampled(sampling)) for sampling in samplings], told)
    return processors(torch.zeros(0), logits.expand(len(samplings), -1).clone(), told)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    draws = Draws(3)
    keys = torch.tensor([draws.next() for _ in range(40_000)])

    drawn = (LOGITS + noise(keys, 5)).argmax(-1).bincount(minlength=5) / len(keys)

    assert torch.allclose(drawn, PROBABILITIES, atol=0.01)


def test_neighbouring_places_and_seeds_have_nothing_in_common() -> None:
    first, second = Draws(1), Draws(2)
    keys = [first.next(), first.next(), second.next()]
    rows = noise(torch.tensor(keys), 50_000)

    assert len(set(keys)) == 3
    assert torch.corrcoef(rows).fill_diagonal_(0).abs().max() < 0.02


def test_the_logits_of_a_greedy_request_are_left_as_they_are_in_any_company() -> None:
    rows = chosen([HOT, GREEDY, HOT])

    assert torch.equal(rows[1], LOGITS)
    assert not torch.equal(rows[0], LOGITS)


def test_a_request_is_sampled_from_its_own_nucleus() -> None:
    narrow, wide = Sampling(8, 1.0, 60.0, top_p=0.5), Sampling(8, 1.0, 60.0, top_p=0.8)

    kept = chosen([narrow, wide, HOT]).isfinite().sum(-1)

    assert kept.tolist() == [1, 3, 5]


def test_a_model_that_names_a_number_of_likeliest_tokens_is_sampled_from_those() -> None:
    assert chosen([HOT, GREEDY], top_k=2).isfinite().sum(-1).tolist() == [2, 5]


def test_the_hotter_a_request_the_less_its_logits_matter() -> None:
    cool, hot = Sampling(8, 0.1, 60.0, seed=1), Sampling(8, 2.0, 60.0, seed=1)
    same_noise = noise(torch.tensor([Draws(1).next()]), 5)[0]

    rows = chosen([cool, hot])

    assert torch.allclose(rows[0], LOGITS / 0.1 + same_noise)
    assert torch.allclose(rows[1], LOGITS / 2.0 + same_noise)
