"""Which replicas answer at all: those that owe an answer are pinged, and who answers no ping is unresponsive.

A host whose plug is pulled sends no reset, so that whatever was sent to it waits, and its replicas count as well for
as long as the cluster has not found out, or for ever where only this router cannot reach them. A model may take minutes
for an answer, a ping takes a millisecond: as in failure detectors of clusters (SWIM, Das et al., 2002), the ping tells
the two apart.

1. A replica is pinged while it owes an answer for longer than `ping_after_seconds`. Who owes nothing costs nothing.
2. One that does not answer a ping within `ping_seconds` is unresponsive until it answers one.
3. Hosts go as a whole: the other replicas of a host are pinged as soon as one is late with its answer. A replica that
   is new on a host of which nobody answers is unresponsive until it answers.
4. A replica that answers no ping, but whose process greets a new connection, is at work: code of its model holds up all
   its Python, or the processors of its host are wanted by others. That counts neither as silence nor as an answer.
5. A ping that this process has itself been late to look after tells nothing (Lifeguard, Dadgar et al., 2018).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deployments.policy.knob import Knobs, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPolicy(Knobs):
    """Finding out which replicas do not answer at all, be it for their host or for the network."""

    ping_after_seconds: float = seconds(0.5, "A replica that owes an answer for longer is pinged.")
    ping_seconds: float = seconds(
        1.0,
        "A replica that does not answer a ping within this time, and whose process does not greet a new connection "
        "either, is not asked until it answers one, and what it owes is asked of others.",
    )


LATE_S = 0.25
"""Seconds by which this process may be late to look after a ping; beyond that the ping tells nothing."""

_SUSPECT = 0.5
"""The share of `ping_seconds` after which a ping without an answer has the rest of the host pinged."""


@dataclass(slots=True)
class _Peer:
    """A replica: its host, when it was pinged and has not answered yet, when it was pinged last."""

    host: str
    asked: float = math.inf
    last: float = -math.inf
    unresponsive: bool = False


class Responsiveness:
    """Which replicas answer pings, as one process sees it. A replica is named by the id of its actor."""

    def __init__(self) -> None:
        """Begin without any replica."""
        self._peers: dict[str, _Peer] = {}
        self.unresponsive: frozenset[str] = frozenset()

    def update(self, hosts: Mapping[str, str]) -> None:
        """Take over which replicas there are, with the host of each."""
        if hosts.keys() == self._peers.keys():
            return
        mute = {peer.host for peer in self._peers.values()} - {
            peer.host for peer in self._peers.values() if not peer.unresponsive
        }
        self._peers = {
            actor: self._peers.get(actor) or _Peer(host, unresponsive=bool(host) and host in mute)
            for actor, host in hosts.items()
        }
        self._tell()

    def due(self, policy: ReplicaPolicy, owing: Collection[str], now: float) -> list[str]:
        """Return the replicas to be pinged now, and note that they are; `owing` have owed an answer for long enough."""
        suspect_s = _SUSPECT * policy.ping_seconds
        suspected = {
            peer.host for peer in self._peers.values() if peer.unresponsive or now - peer.asked >= suspect_s
        } - {""}
        due = []
        for actor, peer in self._peers.items():
            wanted = actor in owing or peer.unresponsive or peer.host in suspected
            if wanted and math.isinf(peer.asked) and now - peer.last >= suspect_s:
                peer.asked = peer.last = now
                due.append(actor)
        return due

    def answered(self, actor: str) -> bool:
        """Note that a replica has answered its ping; return whether it was unresponsive."""
        return self._note(actor, unresponsive=False)

    def busy(self, actor: str) -> None:
        """Note that a replica has answered no ping, but shown that its process lives."""
        if (peer := self._peers.get(actor)) is not None:
            peer.asked = math.inf

    def unanswered(self, actor: str, late_s: float = 0.0) -> bool:
        """Note that a replica has not answered its ping in time; return whether it is unresponsive from now on.

        Args:
            actor: the replica.
            late_s: seconds by which this was found out later than was meant.
        """
        if late_s > LATE_S:
            if (peer := self._peers.get(actor)) is not None:
                peer.asked, peer.last = math.inf, -math.inf
            return False
        return self._note(actor, unresponsive=True)

    def _note(self, actor: str, *, unresponsive: bool) -> bool:
        peer = self._peers.get(actor)
        if peer is None:
            return False
        peer.asked = math.inf
        changed = peer.unresponsive is not unresponsive
        peer.unresponsive = unresponsive
        if changed:
            self._tell()
        return changed

    def _tell(self) -> None:
        self.unresponsive = frozenset(actor for actor, peer in self._peers.items() if peer.unresponsive)
