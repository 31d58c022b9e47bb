"""What every engine does with a prompt's tokens."""

from collections.abc import Sequence

from deployments.generation import PromptTooLongError


def fit(tokens: Sequence[int], context: int, max_tokens: int, *, truncate: bool) -> list[int]:
    """`tokens`, or the newest of them that leave room for an answer.

    Args:
        tokens: of the prompt.
        context: tokens the model was made for.
        max_tokens: of the answer.
        truncate: leave out the oldest part of what is too long.

    Raises:
        PromptTooLongError: it does not fit, and is not to be truncated or leaves no room at all.
    """
    room = context - max_tokens
    if len(tokens) <= room:
        return list(tokens)
    if not truncate or room <= 0:
        raise PromptTooLongError(
            f"the prompt has {len(tokens)} tokens, and the context of {context} leaves {room} "
            f"beside {max_tokens} for the answer"
        )
    return list(tokens[-room:])
