"""What a language model's tokenizer makes of a prompt, or of tokens, as the outcome of a question about it."""

from deployments.formats.prompting import prompt_of
from deployments.formats.tool_format import ToolFormat
from deployments.generation import (
    CannotGenerateError,
    TextGenerator,
    Tokenization,
    TokenQuery,
    UnknownTokenError,
    UnsupportedTurnsError,
)
from deployments.policy.outcome import Answered, Outcome, Refused, Rejected
from deployments.request.tokens import TokensRequest


async def tokenize(generator: TextGenerator, asked: TokensRequest, tools: ToolFormat | None) -> Outcome:
    """Return what the tokenizer of `generator` says; of a chat, as the model would read it, with `tools` as it does."""
    prompt = prompt_of(asked.request, tools)
    try:
        told = await generator.tokenization(
            TokenQuery(prompt, asked.tokens, asked.special, asked.begins, asked.strings)
        )
    except UnknownTokenError as error:
        return Rejected(str(error), "tokens")
    except UnsupportedTurnsError as error:
        return Rejected(str(error), "messages")
    except CannotGenerateError as error:
        return Refused(str(error), transient=True)
    return told_in_vllms_words(told, asked)


def told_in_vllms_words(told: Tokenization, asked: TokensRequest) -> Answered:
    """Return the answer to `asked` with the keys of vLLM's responses; `max_model_len` is in each."""
    if asked.tokens:
        return Answered({"prompt": told.text, "max_model_len": told.context})
    return Answered(
        {
            "count": len(told.tokens),
            "max_model_len": told.context,
            "tokens": list(told.tokens),
            "token_strs": list(told.strings) if asked.strings else None,
        }
    )
