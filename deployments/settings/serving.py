"""How a model is served, whatever its format."""

from typing import Literal, Self

from pydantic import Field, model_validator

from deployments.settings.base import Seconds, Settings


class Replicas(Settings):
    """How many processes serve it: `min` always, up to `max` under load."""

    min: int = Field(1, ge=1, description="Replicas that always run.")
    max: int = Field(1, ge=1, description="Replicas under load.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max: {self.max} is below min ({self.min}); accepted: at least that")
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
        32, ge=0, description="Requests a router keeps waiting for it; beyond, the next tier answers."
    )
    load_timeout_seconds: Seconds = Field(1800.0, description="A load that takes longer counts as failed.")

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError(
                f"num_gpus: {self.num_gpus:g} is not possible; accepted: a fraction below 1, or a whole number"
            )
        return self
