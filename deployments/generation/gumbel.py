"""How a token is drawn: by Gumbel noise, made of a seed.

The largest of `logit + Gumbel noise` is a draw from the softmax of the logits (the Gumbel-max trick; Maddison, Tarlow
and Minka, A* Sampling, 2014). The noise of a token is a hash of its id and of a key; each token that a request writes
has a key of its own, made of the request's seed and its place. So a seed means the same in a batch, in any company, as
alone; and nothing has to be remembered on the device, whose steps are captured in graphs on a GPU.
"""

import random
from hashlib import blake2b

import torch

_32_BITS = 0xFFFFFFFF


class Draws:
    """The keys of one request, one for each token it writes."""

    def __init__(self, seed: int | None) -> None:
        """Begin; without a seed, with one that nobody knows."""
        self._seed = random.getrandbits(64) if seed is None else seed
        self._drawn = 0

    def next(self) -> int:
        """The next key: 1 to 2**31 - 1."""
        digest = blake2b(f"{self._seed} {self._drawn}".encode(), digest_size=4).digest()
        self._drawn += 1
        return int.from_bytes(digest) % 0x7FFFFFFF + 1


def noise(keys: torch.Tensor, size: int) -> torch.Tensor:
    """Gumbel noise for tokens 0 to `size` - 1, one row for each of `keys`.

    Args:
        keys: whole numbers below 2**31, shape [n].
        size: of the vocabulary.

    Returns:
        ResponseFormat [n, size], float32. The same keys give the same.
    """
    tokens = torch.arange(size, device=keys.device, dtype=torch.int64)
    hashed = _mix(_mix(tokens).unsqueeze(0) ^ keys.to(torch.int64).unsqueeze(-1))
    uniform = ((hashed >> 9).to(torch.float32) + 0.5) * 2.0**-23  # above 0 and below 1, as float32 has them
    return -torch.log(-torch.log(uniform))


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Permute the numbers of 32 bits without a pattern: `lowbias32` (Wellons, Prospecting for Hash Functions, 2018)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _32_BITS
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _32_BITS
    return x ^ (x >> 16)
