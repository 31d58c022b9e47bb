"""Writes a language model of transformers as a GGUF file that OpenVINO GenAI reads: how safetensors come to IR format.

OpenVINO GenAI builds a model out of a GGUF file for the architectures in `_FAMILIES`, and what differs from their plain
form (scaled rotary embeddings, sliding windows, biases that it does not know) is refused here, by name. The file has
the weights and the sizes only. Its tokenizer is a placeholder, and is never used: `converted` converts the real one.

ggml's own library names the tensors and rounds the matrices to Q8_0, in groups of 32. The rows of Llama's queries and
keys are in another order in GGUF (pairs side by side instead of halves), which OpenVINO turns back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.sources.errors import SourceError

_GROUP = 32  # of Q8_0


class NotConvertibleError(SourceError):
    """The fast engine of CPUs does not read models of this kind; transformers does."""


@dataclass(frozen=True, slots=True)
class _Family:
    """How models of one kind are written.

    Attributes:
        architecture: the name in GGUF.
        halves: the rows of queries and keys have to be put into another order.
        biased: queries, keys and values have biases.
    """

    architecture: str
    halves: bool = False
    biased: bool = False


_FAMILIES = {
    "llama": _Family("llama", halves=True),
    "mistral": _Family("llama", halves=True),
    "qwen2": _Family("qwen2", biased=True),
    "qwen3": _Family("qwen3"),
}
"""By `model_type` of transformers. SmolLM and SmolLM2, TinyLlama and many others are of type `llama`."""

ARCHITECTURES = frozenset(family.architecture for family in _FAMILIES.values())
"""The architectures of GGUF files that OpenVINO GenAI reads."""


def require_convertible(config: Any) -> None:
    """Return if a model with the configuration `config` of transformers can be written.

    Raises:
        NotConvertibleError: it cannot; the message says why.
    """
    family = _FAMILIES.get(config.model_type)
    if family is None:
        accepted = ", ".join(sorted(_FAMILIES))
        raise NotConvertibleError(f"models of type {config.model_type} are not read (accepted: {accepted})")
    for what, plain in _PLAIN.items():
        if not plain(config):
            raise NotConvertibleError(f"{what} is not read (accepted: the plain form of {config.model_type})")
    if getattr(config, "attention_bias", False) and not family.biased:
        raise NotConvertibleError(f"attention_bias is not read (accepted: the plain form of {config.model_type})")


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "rope_parameters": lambda config: (
        config.rope_parameters.get("rope_type", "default") == "default"
        and config.rope_parameters.get("partial_rotary_factor", 1.0) == 1.0
    ),
    "hidden_act": lambda config: config.hidden_act == "silu",
    "mlp_bias": lambda config: not getattr(config, "mlp_bias", False),
    "quantization_config": lambda config: not getattr(config, "quantization_config", None),
    "sliding_window": lambda config: (
        not (getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None))
    ),
}


def write_gguf(model: Any, target: Path) -> None:
    """Write `model`, a `PreTrainedModel` on the CPU, as the GGUF file `target`.

    Raises:
        NotConvertibleError: its kind is not one that OpenVINO reads.
        OSError: the file cannot be written.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

    config = model.config
    require_convertible(config)
    family = _FAMILIES[config.model_type]
    head = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    writer = GGUFWriter(target, family.architecture, use_temp_file=True)  # not all in memory
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(int(LlamaFileType.MOSTLY_Q8_0))
    _add_placeholder(writer)
    for name, array, rounded in _tensors(model, family):
        writer.add_tensor(name, array, raw_dtype=GGMLQuantizationType.Q8_0 if rounded else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_placeholder(writer: Any) -> None:
    """Without a tokenizer whose parts fit each other, OpenVINO does not load the file."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["a", "i", "ai", "<|end|>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a i"])
    writer.add_eos_token_id(3)


def _tensors(model: Any, family: _Family) -> Iterator[tuple[str, Any, bool]]:
    """Yield the name in GGUF, the array and whether it is in Q8_0, for each weight; tied weights come once."""
    import numpy as np
    from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, get_tensor_name_map, quants

    config = model.config
    architecture = next(kind for kind, name in MODEL_ARCH_NAMES.items() if name == family.architecture)
    names = get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads} if family.halves else {}
    for name, tensor in model.state_dict().items():
        if config.tie_word_embeddings and name == "lm_head.weight":
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise NotConvertibleError(f"the weight {name} is not read")
        array = tensor.float().numpy()
        if (of := heads.get(name.split(".")[-2])) is not None:
            array = array.reshape(of, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        if array.ndim == 1:
            yield found, array, False
        elif array.shape[-1] % _GROUP:
            yield found, array.astype(np.float16), False
        else:
            yield found, quants.quantize(array, GGMLQuantizationType.Q8_0), True
