"""Models of a few kilobytes for tasks that are not text generation, written to disk by transformers."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "the", "cat", "sat", "on", "a", "mat", "in", "paris", "who", "is", "here"]
LABELS = {
    "text-classification": ["calm", "loud"],
    "token-classification": ["O", "B-PLACE"],
    "text-ranking": ["LABEL_0"],
}
_CLASSES: dict[str, Any] = {
    "text-classification": BertForSequenceClassification,
    "token-classification": BertForTokenClassification,
    "fill-mask": BertForMaskedLM,
    "question-answering": BertForQuestionAnswering,
    "feature-extraction": BertModel,
    "text-ranking": BertForSequenceClassification,
}


def tokenizer() -> Any:
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106 - no secret
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=32, **{f"{key}_token": word for key, word in names.items()}
    )


def folder(at: Path, task: str) -> Path:
    """Write a model for `task` and its tokenizer."""
    torch.manual_seed(1)
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 64}
    if task == "text2text-generation":
        config: Any = BartConfig(
            **sizes, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, init_std=0.5, pad_token_id=0,
            bos_token_id=2, eos_token_id=3, decoder_start_token_id=2, forced_eos_token_id=3,
        )  # fmt: skip
        made: Any = BartForConditionalGeneration(config)
    else:
        config = BertConfig(
            **sizes, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            initializer_range=0.5,
        )  # fmt: skip
        if task in LABELS:
            config.id2label = dict(enumerate(LABELS[task]))
            config.label2id = {label: number for number, label in enumerate(LABELS[task])}
        made = _CLASSES[task](config)
    made.eval().save_pretrained(at)
    tokenizer().save_pretrained(at)
    return at


def direct(at: Path, task: str) -> Any:
    """The model as transformers itself loads it."""
    cls = BartForConditionalGeneration if task == "text2text-generation" else _CLASSES[task]
    return cls.from_pretrained(at).eval()
