"""The part of a spec that says how a model is served, whatever its format."""

from typing import Literal, Self

from pydantic import Field, model_validator

from deployments.settings.base import Seconds, Settings, VectorSpace

LONGEST_STREAM_S = 660.0
"""Seconds that a request may be under way by the policy's defaults: its longest deadline and its longest stream, with a
stall and a continuation, and a margin."""


class Replicas(Settings):
    """The number of processes: `min` always, up to `max` under load."""

    min: int = Field(1, ge=0, description="Replicas that always run; with 0 it ends when idle, and a request wakes it.")
    max: int = Field(1, ge=1, description="Replicas under load.")
    idle_seconds: Seconds = Field(60.0, description="The idle time after which replicas above `min` are stopped.")
    surge: bool = Field(
        True,
        description="A new version loads beside the old one, which serves until then. `false` where a node cannot "
        "hold both: the old one goes first, and the backup answers meanwhile.",
    )
    per_node: int | None = Field(
        None,
        ge=1,
        description="Replicas that one node may hold, so that the loss of a node leaves some; without it they may all "
        "be on one. New versions then replace one replica after the other, as a second one may have no node to go to.",
    )
    drain_seconds: Seconds = Field(
        LONGEST_STREAM_S,
        description="The time in which a replica that is replaced or stopped may end what it has begun. A stream that "
        "takes longer is continued by another model.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max: {self.max} is below min ({self.min}); accepted: at least that")
        if self.per_node is not None and self.min <= 1:
            raise ValueError("per_node: is set; accepted: with a min of 2 or more")
        return self


class ServingSpec(Settings):
    """How a model is served, whatever its format."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto` takes a GPU when the cluster has one, else the CPU."
    )
    num_gpus: float = Field(1.0, gt=0, description="GPUs a replica takes where it takes any; fractions share one.")
    num_cpus: float = Field(0.2, ge=0, description="CPUs a replica reserves for placement; not a limit.")
    replicas: Replicas = Replicas()
    max_ongoing_requests: int = Field(8, ge=1, description="Requests one replica works on at a time.")
    max_queued_requests: int = Field(
        32, ge=0, description="Requests a router keeps waiting beside those in work; beyond, the next tier answers."
    )
    load_timeout_seconds: Seconds = Field(1800.0, description="A load that takes longer counts as failed.")
    stall_seconds: Seconds = Field(
        60.0,
        description="A replica with work that has not advanced for so long is replaced. A call, a token, a step of a "
        "batch and an item of a stream are advances: it has to be more than the longest call of a model that "
        "does not stream.",
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError(
                f"num_gpus: {self.num_gpus:g} is not possible; accepted: a fraction below 1, or a whole number"
            )
        return self

    def require_always_there(self) -> None:
        """Refuse `replicas.min: 0`.

        Raises:
            ValueError: it may scale to zero.
        """
        if self.replicas.min == 0:
            raise ValueError("replicas.min: is 0; accepted: 1 or more, as it has to be there before it is needed")


class ModelServingSpec(ServingSpec):
    """How a model that is not the backup is served."""

    multiplexed: bool = Field(
        False, description="It is one of a pool, and is loaded when it is asked for; see `configs/pools/`."
    )

    space: VectorSpace = Field(
        "",
        description="The vector space of its answers. Only models of the same space answer for each other; models of "
        "`task: feature-extraction` or `text-ranking` that name none have one of their own, any other gives none.",
    )

    @property
    def vector_space(self) -> str:
        """The vector space of its answers; empty where they are no vectors."""
        return self.space

    @property
    def untrusted(self) -> bool:
        """It is loaded from files that may hold code: its replicas get no credentials in their environment."""
        return False

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.multiplexed and (own := sorted(_THE_POOLS & self.model_fields_set)):
            raise ValueError(f"{own[0]}: is the pool's where multiplexed is true; accepted: in the pool's file")
        return self


_THE_POOLS = frozenset({"num_gpus", "num_cpus", "replicas", "max_queued_requests", "stall_seconds"})
"""Settings of a whole process: those of a pool hold for all of its models."""
