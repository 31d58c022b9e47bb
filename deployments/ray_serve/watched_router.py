"""Which replica of a deployment a call is sent to: as Serve chooses, but none that cannot take it while another can.

Serve prefers the replica with the fewest requests under way. Two kinds of replicas have none, and would draw all
requests: one whose server has crashed and is started again, and one that a router cannot reach. Serve's controller asks
each replica for `record_routing_stats` and tells every handle: a replica that says it loads is passed over. Which ones
cannot be reached a router finds out itself (`replica_watch`).

Serve takes a request router of one's own for every deployment but the one that HTTP requests of its application go to,
which a model is. The choice is the caller's, though: the handles of this process get theirs here, whatever the
deployment says. See docs/decisions/0033-replicas-that-do-not-answer.md.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray.exceptions import RayActorError
from ray.serve._private.common import ReplicaID, RequestMetadata, RunningReplicaInfo
from ray.serve._private.constants import RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH
from ray.serve._private.default_impl import create_router
from ray.serve._private.request_router import PowerOfTwoChoicesRequestRouter
from ray.serve._private.utils import generate_request_id
from ray.serve.generated.serve_pb2_grpc import ASGIServiceStub
from ray.serve.handle import DeploymentHandle
from ray.serve.request_router import PendingRequest, RunningReplica

from deployments.policy.serving_state import ServingState
from deployments.ray_serve.replica_watch import ReplicaWatch, note_sent

PING_METHOD = "ping"
"""The method of every replica that answers at once."""


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What a client of HTTP/2 sends first: the connection preface and empty settings (RFC 9113, 3.4)."""


class WatchedReplica(RunningReplica):  # type: ignore[misc]  # Serve's own classes have no types
    """A replica whose connection can be made anew.

    One that was lost without a word is kept by the network's rules, which wait for longer and longer before they try
    again: after 40 seconds of silence it may be another 25 before it is used.
    """

    _channel: Any
    _stub: Any

    @property
    def stub(self) -> Any:
        """The way to call the replica, over a connection that it shares with no other."""
        if self._stub is None:
            info = self._replica_info
            options = (
                ("grpc.max_receive_message_length", RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH),
                # Without this, a new channel is given the connection of the old one.
                ("grpc.use_local_subchannel_pool", 1),
            )
            self._channel = init_grpc_channel(f"{info.node_ip}:{info.port}", options=options, asynchronous=True)
            self._stub = ASGIServiceStub(self._channel)
        return self._stub

    async def shake_hands(self) -> None:
        """Return once the process has answered the beginning of an HTTP/2 connection.

        Raises:
            ConnectionError: the connection is refused, or broken off.
        """
        info = self._replica_info
        try:
            reader, writer = await asyncio.open_connection(info.node_ip, info.port)
        except OSError as error:
            raise ConnectionError(f"{info.node_ip}:{info.port}: {error}") from error
        try:
            writer.write(PREFACE)
            await reader.read(
                1
            )  # its settings; where it wants TLS, it ends the connection, which takes a process as well
        finally:
            writer.close()

    async def reconnect(self) -> None:
        """Drop the connection, with whatever waits for an answer on it; the next call makes a new one."""
        channel, self._channel, self._stub, self._grpc_replica_wrapper = self._channel, None, None, None
        if channel is not None:
            await channel.close()


class WatchedRouter(PowerOfTwoChoicesRequestRouter):  # type: ignore[misc]  # as above
    """Chooses as Serve does, but among the replicas that take requests where some do not."""

    watch: ReplicaWatch

    def create_replica_wrapper(self, replica_info: RunningReplicaInfo) -> WatchedReplica:
        """Return the replica that Serve tells of."""
        return WatchedReplica(replica_info)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the replicas to choose from, two at a time; Serve takes the one with fewer requests under way."""
        if len(candidate_replicas) > 1:
            fit = [replica for replica in candidate_replicas if self._is_fit(replica)]
            if fit and len(fit) < len(candidate_replicas):
                model = pending_request.metadata.multiplexed_model_id if pending_request is not None else ""
                holding = [replica for replica in fit if model and model in replica.multiplexed_model_ids]
                return [random.sample(each, min(2, len(each))) for each in (holding, fit) if each]
        chosen: list[list[RunningReplica]] = await super().choose_replicas(candidate_replicas, pending_request)
        return chosen

    def on_send_request(self, replica_id: ReplicaID) -> None:
        """Note to which replica the call of the running task goes."""
        super().on_send_request(replica_id)
        if (replica := self.curr_replicas.get(replica_id)) is not None:
            note_sent(replica.actor_id.hex())

    def hosts(self) -> Mapping[str, str]:
        """Return the node of each replica, by the id of its actor."""
        return {replica.actor_id.hex(): replica.node_id or "" for replica in self.curr_replicas.values()}

    async def ping(self, actor: str, *, afresh: bool) -> None:
        """Return once the replica of that actor has answered, over the connection that its calls take.

        Raises:
            ConnectionError: it cannot be reached.
        """
        replica = self._replica(actor)
        if afresh:
            await replica.reconnect()
        number = generate_request_id()
        metadata = RequestMetadata(
            request_id=number,
            internal_request_id=number,
            call_method=PING_METHOD,
            _by_reference=False,
            _on_separate_loop=False,
        )
        pending = PendingRequest(args=[], kwargs={}, metadata=metadata)
        try:
            result = replica.try_send_request(pending, with_rejection=False)
            try:
                await result.get_async()
            finally:
                result.cancel()
        except (RayActorError, grpc.RpcError) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if afresh:  # Serve would ask how many requests it has over a connection of Ray's that may still be lost
            self.on_new_queue_len_info(replica.replica_id, 0)

    async def shake_hands(self, actor: str) -> None:
        """Return once the process of that actor's replica has sent its part of an HTTP/2 handshake.

        gRPC sends that from a thread of its own, which needs no interpreter: a model whose code holds the interpreter
        is told apart from a process that is stopped and from a host that is gone.

        Raises:
            ConnectionError: it cannot be reached.
        """
        await self._replica(actor).shake_hands()

    def _replica(self, actor: str) -> WatchedReplica:
        for replica in self.curr_replicas.values():
            if replica.actor_id.hex() == actor:
                assert isinstance(replica, WatchedReplica)  # noqa: S101 - `create_replica_wrapper` makes no other
                return replica
        raise ConnectionError(f"there is no replica {actor}")

    def _is_fit(self, replica: RunningReplica) -> bool:
        return takes_requests(replica.routing_stats) and self.watch.is_fit(replica.actor_id.hex())


def watched(handle: DeploymentHandle, name: str, watch: ReplicaWatch) -> WatchedRouter:
    """Have `handle`, and those made of it, choose replicas by a `WatchedRouter`, and return that.

    Args:
        handle: a handle of this process; one that has been called already keeps the router that it has.
        name: what log lines call the deployment.
        watch: looks after its replicas.
    """
    if not handle.is_initialized:
        handle._create_router = _create_router  # noqa: SLF001 - see tests/ray_serve/contract.py
        handle._init()  # noqa: SLF001
    router: WatchedRouter = handle._router._asyncio_router.request_router  # noqa: SLF001
    router.watch = watch
    watch.add(name, router)
    return router


def _create_router(**options: Any) -> Any:
    made = create_router(**options, request_router_class=WatchedRouter)
    # Built at once: the class that the deployment's configuration names would come in its place otherwise.
    assert made._asyncio_router.request_router is not None  # noqa: S101, SLF001
    return made


def takes_requests(stats: Mapping[str, Any]) -> bool:
    """Return whether a replica with these routing stats takes requests; it has none while it does."""
    return bool(stats.get("state", ServingState.READY) == ServingState.READY)
