"""The forms in which language models write tool calls, and the grammar that holds a model to its form.

    form      a call                                                   a chat template shows that it is this one by
    hermes    <tool_call>{"name": ..., "arguments": ...}</tool_call>   `<tool_call>` (Hermes, Qwen 2.5 and 3, SmolLM3)
    llama     {"name": ..., "parameters": ...}                         `ipython` and `"parameters"` (Llama 3)
    mistral   [{"name": ..., "arguments": ...}]                        `[TOOL_CALLS]` (Mistral 7B, Nemo)

Llama may write `<|python_tag|>` before its call, and Mistral writes `[TOOL_CALLS]`: these are special tokens, which no
text shows, so their calls are known by how the JSON begins. A template that does not read `tools`, or that has another
form, is shown no tools: `prompting` explains the form of hermes in words. Sources: vLLM's and SGLang's tool parsers,
and the templates themselves.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from deployments.generation.grammar import Tag, TagGrammar
from deployments.request import ResponseFormat
from deployments.request.schema import fault_of_schema


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a model is shown tools, and how it writes a call.

    Attributes:
        name: the form.
        mark: what may stand before the JSON of a call.
        bare: the JSON may stand without `mark`.
        before: what stands before a function's name in a call.
        between: what stands between the name and the arguments.
        behind: what stands behind the arguments.
        id_length: characters in the ids of calls that the template demands; 0 where it takes any.
        by_template: the model's chat template shows it the tools; else words do.
    """

    name: str
    mark: str
    bare: bool
    before: str
    between: str
    behind: str
    id_length: int = 0
    by_template: bool = True

    def grammar(self, form: ResponseFormat) -> TagGrammar:
        """The grammar of an answer to a request with `form`, which lets at least one function be called.

        With `tool_choice: auto`, a call need not come, but one that has begun is of a function and fits its schema. A
        call that is demanded, or stands in the place of JSON, is the only one, unless several are asked for: a small
        model, made to call, would go on to its last token (SmolLM2 wrote 96 tokens for a call of 43).
        """
        demanded = form.demands_tool_call
        one = form.takes_one_call or (form.demands_form and not form.parallel_tool_calls)
        tags = tuple(
            Tag(f"{self.before}{tool['function']['name']}{self.between}", _schema_of(tool["function"]), self.behind)
            for tool in form.functions
        )
        return TagGrammar(tags, (self.trigger,), demanded, one)

    @property
    def trigger(self) -> str:
        """What begins a call, and nothing else."""
        return self.before if self.bare else self.mark


_HERMES = ToolFormat(
    "hermes",
    "<tool_call>",
    bare=False,
    before='<tool_call>\n{"name": "',
    between='", "arguments": ',
    behind="}\n</tool_call>",
)
_LLAMA = ToolFormat("llama", "<|python_tag|>", bare=True, before='{"name": "', between='", "parameters": ', behind="}")
_MISTRAL = ToolFormat(
    "mistral", "[TOOL_CALLS]", bare=True, before='[{"name": "', between='", "arguments": ', behind="}]", id_length=9
)

IN_WORDS = replace(_HERMES, by_template=False)
"""For a model whose template shows it no tools."""

_SHOWN_BY = (
    # Qwen3-Coder and GLM put XML into <tool_call>; Mistral from Small 3.1 on writes [TOOL_CALLS]name[ARGS]{...}.
    (_HERMES, ("<tool_call>",), ("<function=", "<arg_key>")),
    (_MISTRAL, ("[TOOL_CALLS]",), ("[ARGS]", "[CALL_ID]")),
    (_LLAMA, ("ipython", '"parameters": '), ()),
)
_READS_TOOLS = re.compile(r"\btools\b")


def format_of(chat_template: str) -> ToolFormat:
    """The form for a model with this chat template, which is empty where the model has none."""
    if _READS_TOOLS.search(chat_template):
        for form, signs, others in _SHOWN_BY:
            if all(sign in chat_template for sign in signs) and not any(other in chat_template for other in others):
                return form
    return IN_WORDS


_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def _schema_of(function: Mapping[str, Any]) -> str:
    """The schema of a function's arguments: an object, of any kind where its `parameters` are beyond our bounds."""
    parameters = function.get("parameters") or _NO_ARGUMENTS
    if fault_of_schema(parameters):
        parameters = {"type": "object"}
    elif "type" not in parameters and "properties" in parameters:
        parameters = {**parameters, "type": "object"}
    return orjson.dumps(parameters).decode()
