"""A load balancer as docs/operations.md has it: `GET /healthz` of every host, requests in turn to those that are well.

What has been sent once is never sent again. Where no connection can be made, nothing was sent: another host is asked.
"""

import asyncio
import itertools
from collections.abc import Sequence

import aiohttp

INTERVAL_S = 1.0
TIMEOUT_S = 1.0
FAILURES = 2
SUCCESSES = 5


class Balancer:
    """Chooses a host for each request.

    Attributes:
        usable: the addresses of the hosts that are in use: until they fail two checks in a row, and again once they
            have passed five. A host that Ray has taken for dead answers for seconds when it is back, and then ends.
    """

    def __init__(self, addresses: Sequence[str], session: aiohttp.ClientSession) -> None:
        """Take all of `addresses` as usable, until checks say something else."""
        self._addresses = tuple(addresses)
        self._used = dict.fromkeys(addresses, True)
        self._against = dict.fromkeys(addresses, 0)  # checks in a row that say otherwise
        self._session = session
        self._turn = itertools.count()

    @property
    def usable(self) -> list[str]:
        """The hosts that are in use."""
        return [address for address in self._addresses if self._used[address]]

    def choose(self, but: str = "") -> str:
        """The host that is next in turn, and not `but`; of all of them, where no other is usable."""
        others = [address for address in self._addresses if address != but]
        usable = [address for address in self.usable if address != but] or others
        return usable[next(self._turn) % len(usable)]

    async def check_always(self) -> None:
        """Check every host for as long as this runs."""
        while True:
            await asyncio.gather(*(self._check(address) for address in self._addresses))
            await asyncio.sleep(INTERVAL_S)

    async def _check(self, address: str) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            async with self._session.get(f"http://{address}:8000/healthz", timeout=timeout) as response:
                well = response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            well = False
        self.note(address, well=well)

    def note(self, address: str, *, well: bool) -> None:
        """Note how a check of a host has ended."""
        used = self._used[address]
        self._against[address] = 0 if well is used else self._against[address] + 1
        if self._against[address] == (FAILURES if used else SUCCESSES):
            self._used[address], self._against[address] = not used, 0
