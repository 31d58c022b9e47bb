"""Models in transformers' format for other tasks than writing and vectors (see `embedding`): one function a task.

    text-classification     every label with its score, best first
    token-classification    the entities found, with their places
    fill-mask               the likeliest words for the mask
    question-answering      the span of `context` that answers, with its score and place
    text2text-generation    a text; a summary is one, too

transformers 5 has pipelines for the first three tasks and has removed those of the others: these use its auto classes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline

from deployments.formats.calling import CalledModel, FromCutText, UnreadableInputError
from deployments.formats.text_bounds import TextBounds
from deployments.formats.weights import load_weights
from deployments.request import extract_text
from deployments.settings import HuggingFaceSpec
from deployments.sources.checkpoint import LoadedModel

Call = Callable[[Mapping[str, Any]], Any]


def load_task(spec: HuggingFaceSpec, cache: Path) -> CalledModel:
    """Load the model of `spec`, whose task is not text generation.

    Raises:
        sources.NoSourceError: no source has its weights.
        RuntimeError: a GPU is demanded and there is none.
    """
    loaded = load_weights(spec, cache)
    call = _TASKS[spec.task](loaded, spec)
    facts = {"format": "huggingface", "task": spec.task, "weights": loaded.name, "device": str(loaded.model.device)}
    return CalledModel(call, facts, spec.concurrency)


def _classifying(loaded: LoadedModel, spec: HuggingFaceSpec) -> Call:
    run: Any = pipeline("text-classification", model=loaded.model, tokenizer=loaded.tokenizer, top_k=None)
    return _of_text(loaded, spec, lambda text: run([text])[0])


def _tagging(loaded: LoadedModel, spec: HuggingFaceSpec) -> Call:
    run: Any = pipeline(
        "token-classification", model=loaded.model, tokenizer=loaded.tokenizer, aggregation_strategy="simple"
    )
    return _of_text(loaded, spec, run)


def _filling(loaded: LoadedModel, spec: HuggingFaceSpec) -> Call:
    run: Any = pipeline("fill-mask", model=loaded.model, tokenizer=loaded.tokenizer)
    mask = loaded.tokenizer.mask_token
    bounds = TextBounds(loaded, spec)

    def fill(text: str) -> Any:
        if mask not in text:  # it was there, and has been cut off
            raise bounds.too_long("text", len(loaded.tokenizer(text, truncation=False)["input_ids"]))
        return run(text)

    call = _of_text(loaded, spec, fill)

    def fill_whole(inputs: Mapping[str, Any]) -> Any:
        if mask not in extract_text(inputs):
            raise UnreadableInputError("text", f"there is no {mask} in it; accepted: a text with {mask}")
        return call(inputs)

    return fill_whole


def _answering(loaded: LoadedModel, spec: HuggingFaceSpec) -> Call:
    bounds = TextBounds(loaded, spec)

    def call(inputs: Mapping[str, Any]) -> Any:
        question, context = _question(inputs)
        alone = len(loaded.tokenizer(question, "", truncation=False)["input_ids"])
        if alone >= bounds.longest:
            raise bounds.too_long("question", alone)
        whole = len(loaded.tokenizer(question, context, truncation=False)["input_ids"])
        cut = max(0, whole - bounds.longest)
        if cut and spec.long_prompt == "refuse":
            raise bounds.too_long("context", whole)
        encoded = loaded.tokenizer(
            question,
            context,
            return_tensors="pt",
            truncation="only_second" if cut else False,
            max_length=bounds.longest,
            return_offsets_mapping=True,
        ).to(loaded.model.device)
        offsets, sides = encoded.pop("offset_mapping")[0], encoded.encodings[0].sequence_ids
        with torch.inference_mode():
            output = loaded.model(**encoded)
        inside = torch.tensor([side == 1 for side in sides], device=output.start_logits.device)
        begins = output.start_logits[0].masked_fill(~inside, -torch.inf).softmax(-1)
        ends = output.end_logits[0].masked_fill(~inside, -torch.inf).softmax(-1)
        # The likeliest pair whose end is not before its beginning.
        joint = torch.triu(begins.unsqueeze(1) * ends.unsqueeze(0))
        first, last = divmod(int(joint.argmax()), len(sides))
        start, end = int(offsets[first][0]), int(offsets[last][1])
        found = {"answer": context[start:end], "score": float(joint.max()), "start": start, "end": end}
        return FromCutText(found, cut) if cut else found

    return call


def _rewriting(loaded: LoadedModel, spec: HuggingFaceSpec) -> Call:
    bounds, limits = TextBounds(loaded, spec), spec.generation
    positions = int(getattr(loaded.model.config, "max_position_embeddings", 0) or 0)
    most = min(limits.max_tokens_limit, positions - 1) if positions else limits.max_tokens_limit

    def call(inputs: Mapping[str, Any]) -> Any:
        wanted = inputs.get("max_tokens") or limits.max_tokens or most
        bound = bounds.bound(extract_text(inputs))
        encoded = loaded.tokenizer(bound.text, return_tensors="pt").to(loaded.model.device)
        with torch.inference_mode():
            written = loaded.model.generate(**encoded, max_new_tokens=min(wanted, most))
        text = str(loaded.tokenizer.decode(written[0], skip_special_tokens=True)).strip()
        return FromCutText(text, bound.cut) if bound.cut else text

    return call


def _of_text(loaded: LoadedModel, spec: HuggingFaceSpec, run: Callable[[str], Any]) -> Call:
    """A call of `run` with the text of a request, within the model's bound."""
    bounds = TextBounds(loaded, spec)

    def call(inputs: Mapping[str, Any]) -> Any:
        bound = bounds.bound(extract_text(inputs))
        return FromCutText(run(bound.text), bound.cut) if bound.cut else run(bound.text)

    return call


_TASKS: Mapping[str, Callable[[LoadedModel, HuggingFaceSpec], Call]] = {
    "text-classification": _classifying,
    "token-classification": _tagging,
    "fill-mask": _filling,
    "question-answering": _answering,
    "text2text-generation": _rewriting,
}


def _question(inputs: Mapping[str, Any]) -> tuple[str, str]:
    """The question and the text it is about, from `input` or from the request itself.

    Raises:
        UnreadableInputError: one of them is missing, or is no text.
    """
    value = inputs.get("input")
    given: Mapping[str, Any] = value if isinstance(value, Mapping) else inputs
    question, context = given.get("question", given.get("query")), given.get("context")
    if not isinstance(question, str) or not isinstance(context, str):
        raise UnreadableInputError("input", 'it has no question and context; accepted: {"question": …, "context": …}')
    return question, context
