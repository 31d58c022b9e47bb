"""Sampling by the Gumbel-max trick, with noise that is computed from a seed.

The index of the largest `logit + Gumbel noise` is a draw from the softmax of the logits (the Gumbel-max trick;
Maddison, Tarlow and Minka, A* Sampling, 2014). The noise of a token is a hash of the token's id and a key, and every
token that a request writes has a key of its own: a hash of the request's seed and of the token's position. So a seed
gives the same text in a batch as alone, and no state has to be kept on a GPU.
"""

import random
from hashlib import blake2b

import torch

_32_BITS = 0xFFFFFFFF


class DrawKeys:
    """The keys of one request, one for each token it writes."""

    def __init__(self, seed: int | None) -> None:
        """Begin with the first token; `None` draws a seed."""
        self._seed = random.getrandbits(64) if seed is None else seed
        self._position = 0

    def next(self) -> int:
        """The next key, from 1 to 2**31 - 1."""
        digest = blake2b(f"{self._seed} {self._position}".encode(), digest_size=4).digest()
        self._position += 1
        return int.from_bytes(digest) % 0x7FFFFFFF + 1


def gumbel_noise(keys: torch.Tensor, size: int) -> torch.Tensor:
    """Gumbel noise for the tokens 0 to `size` - 1, one row for each key.

    Args:
        keys: integers below 2**31, shape [n].
        size: the size of the vocabulary.

    Returns:
        Shape [n, size], float32. The same keys give the same noise.
    """
    tokens = torch.arange(size, device=keys.device, dtype=torch.int64)
    hashed = _mix(_mix(tokens).unsqueeze(0) ^ keys.to(torch.int64).unsqueeze(-1))
    uniform = ((hashed >> 9).to(torch.float32) + 0.5) * 2.0**-23  # in (0, 1) as float32 can represent it
    return -torch.log(-torch.log(uniform))


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Hash 32-bit integers: `lowbias32` (Wellons, Prospecting for Hash Functions, 2018)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _32_BITS
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _32_BITS
    return x ^ (x >> 16)
