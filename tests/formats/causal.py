"""A Qwen2 of a few kilobytes, written to disk by transformers. Its answers mean nothing, but are the same."""

from pathlib import Path
from typing import Any

from tests.sources import tiny


def qwen2(at: Path) -> Path:
    """Write it and its tokenizer in transformers' format."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(2)
    made = tiny.tokenizer()
    config = Qwen2Config(
        vocab_size=len(made), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.5, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=made.eos_token_id, pad_token_id=made.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).eval().save_pretrained(at)
    made.save_pretrained(at)
    return at


def direct(at: Path, text: str, max_tokens: int) -> str:
    """What transformers itself makes of `text`, as one turn of a chat, taking the likeliest token each time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Of a GGUF file transformers wants the folder, and the file's name in it.
    folder, options = (at.parent, {"gguf_file": at.name}) if at.suffix == ".gguf" else (at, {})
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
    turns = [{"role": "user", "content": text}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        answer = model.generate(**prompt, max_new_tokens=max_tokens, do_sample=False)
    return str(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
