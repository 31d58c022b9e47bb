"""torch programs and modules: tensors in, tensors out.

A request's `input` is one tensor as nested lists, or a list of tensors where the spec declares several. Large tensors
are sent as `{"safetensors": <base64>}`, in the order of their names; with `"encoding": "safetensors"` beside `input`,
the answer comes in that form, too.

Loading a program or TorchScript can run code, as torch's documentation of `torch.export.load` and `torch.jit.load`
says: they need a pinned digest. A state dict is loaded with `weights_only`, and needs none.
"""

import base64
import binascii
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from deployments.formats.calling import CalledModel, UnreadableInputError
from deployments.generation.devices import Machine, choose_device
from deployments.settings import PyTorchSpec, TensorSpec
from deployments.sources.model_file import open_model_file


def load_pytorch(spec: PyTorchSpec) -> CalledModel:
    """Load the program or module of `spec`.

    Raises:
        ModelFileError: it must not be loaded; the message says why.
        ModelTooLargeError: it is over the limit.
        Exception: torch may raise anything for a file that it cannot load.
    """
    device = choose_device(spec.device, Machine.here())
    with open_model_file(spec) as file:
        module = _LOADERS[spec.kind](file, spec, device)
    facts = {"format": "pytorch", "kind": spec.kind, "device": device}
    return CalledModel(lambda inputs: _called(module, inputs, spec.inputs, device), facts, spec.max_ongoing_requests)


def _load_exported(file: BinaryIO, _: PyTorchSpec, device: str) -> Callable[..., Any]:
    module: Any = torch.export.load(io.BytesIO(file.read())).module()
    return module.to(device)  # type: ignore[no-any-return]  # a module is called


def _load_torchscript(file: BinaryIO, _: PyTorchSpec, device: str) -> Callable[..., Any]:
    module: Any = torch.jit.load(file, map_location=device)  # type: ignore[no-untyped-call]
    return module.eval()  # type: ignore[no-any-return]


def _load_state_dict(file: BinaryIO, spec: PyTorchSpec, device: str) -> Callable[..., Any]:
    name, _, attribute = str(spec.target).partition(":")
    module = getattr(importlib.import_module(name), attribute)(**spec.arguments)
    module.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    return module.to(device).eval()  # type: ignore[no-any-return]


_LOADERS = {"exported": _load_exported, "torchscript": _load_torchscript, "state_dict": _load_state_dict}


def _called(module: Callable[..., Any], inputs: Mapping[str, Any], specs: Sequence[TensorSpec], device: str) -> Any:
    tensors = _read(inputs, specs)
    with torch.inference_mode():
        result = module(*(tensor.to(device) for tensor in tensors))
    if inputs.get("encoding") == "safetensors":
        outputs = result if isinstance(result, Mapping) else dict(enumerate(_listed(result)))
        named = {str(name): tensor.detach().cpu().contiguous() for name, tensor in outputs.items()}
        return {"safetensors": base64.b64encode(save_tensors(named)).decode()}
    return result


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _read(inputs: Mapping[str, Any], specs: Sequence[TensorSpec]) -> list[torch.Tensor]:
    """The tensors of a request.

    Raises:
        UnreadableInputError: they do not fit the spec; the message names the tensor and what is accepted.
    """
    value = inputs.get("input")
    given: list[Any]
    if isinstance(value, Mapping) and isinstance(encoded := value.get("safetensors"), str):
        try:
            named = load_tensors(base64.b64decode(encoded, validate=True))
        except (binascii.Error, SafetensorError) as error:
            reason = f"input.safetensors: cannot be read ({error}); accepted: base64 safetensors"
            raise UnreadableInputError("input", reason) from error
        given = [named[name] for name in sorted(named)]
    else:
        given = list(value) if len(specs) > 1 and isinstance(value, list) else [value]
    if len(given) != len(specs):
        raise UnreadableInputError("input", f"input: holds {len(given)} tensors; accepted: {len(specs)}")
    pairs = enumerate(zip(given, specs, strict=True))
    return [_tensor(value, spec, f"input[{place}]") for place, (value, spec) in pairs]


def _tensor(value: Any, spec: TensorSpec, place: str) -> torch.Tensor:
    dtype = getattr(torch, spec.dtype)
    try:
        tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f"{place}: is no tensor ({error}); accepted: nested lists of {spec.dtype}"
        raise UnreadableInputError("input", reason) from error
    if tensor.dtype != dtype:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UnreadableInputError("input", f"{place}: is {kind}; accepted: {spec.dtype}")
    shape = list(tensor.shape)
    if spec.shape is not None and not _fits(shape, spec.shape):
        accepted = [size if size is not None else "any" for size in spec.shape]
        raise UnreadableInputError("input", f"{place}: has the shape {shape}; accepted: {accepted}")
    return tensor


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    same_rank = len(shape) == len(wanted)
    return same_rank and all(size is None or size == real for real, size in zip(shape, wanted, strict=True))
