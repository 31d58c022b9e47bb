"""On which device a model runs, in which precision, and what torch is told for it."""

import os
from dataclasses import dataclass
from pathlib import Path

_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")


def may_have_gpu() -> bool:
    """Whether this process may have a GPU, found out without importing torch, which takes seconds.

    Ray sets `CUDA_VISIBLE_DEVICES` so that a replica sees only the GPUs it was given.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    return not hidden and any(Path(file).exists() for file in _GPU_FILES)


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware that torch sees in this process.

    Attributes:
        cuda: a GPU is visible to this process.
        fast_bfloat16: the CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX).
    """

    cuda: bool
    fast_bfloat16: bool

    @classmethod
    def here(cls) -> "Machine":
        """Ask torch."""
        import torch

        # The operator exists only in builds with oneDNN; torch has no public function for this.
        onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return cls(torch.cuda.is_available(), onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def choose_device(wanted: str, machine: Machine) -> str:
    """`cuda` or `cpu`, from the `device` of a spec.

    Raises:
        RuntimeError: `cuda` is demanded and no GPU is visible.
    """
    if wanted == "cuda" and not machine.cuda:
        raise RuntimeError("device: cuda is demanded, but this replica sees no GPU")
    return "cuda" if wanted != "cpu" and machine.cuda else "cpu"


def choose_dtype(wanted: str, device: str, machine: Machine) -> str:
    """The precision, from the `dtype` of a spec; `auto` is bfloat16 where the hardware is fast at it, else float32."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" or machine.fast_bfloat16 else "float32"


def configure_torch(device: str, threads: int) -> None:
    """Tell torch, for this process, what every model of transformers needs on `device`.

    Args:
        device: `cuda` or `cpu`.
        threads: the threads of one operation on the CPU; 0 leaves that to torch.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device == "cuda":
        # cuDNN plans its attention anew for every length, 2 ms a layer on an H200, and each step of a batch has another
        # one: 60 of 95 ms (github.com/pytorch/pytorch/pull/155958). torch's other kernels take any length.
        torch.backends.cuda.enable_cudnn_sdp(False)
