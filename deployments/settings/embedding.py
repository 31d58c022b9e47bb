"""How a model makes vectors of texts (`feature-extraction`), or scores of pairs of texts (`text-ranking`)."""

from typing import Annotated, Literal

from pydantic import Field

from deployments.settings.base import Settings


class EmbeddingSettings(Settings):
    """What the files of the model do not say, or say otherwise, and the bounds of its batches."""

    pooling: Literal["auto", "mean", "cls", "max", "last", "mean_sqrt_len", "weighted_mean"] = Field(
        "auto",
        description="How the vectors of the tokens become one: `auto` as its `modules.json` says, else the mean.",
    )
    normalize: Literal["auto"] | bool = Field(
        "auto", description="Vectors of length 1: `auto` as its `modules.json` says, else true."
    )
    max_tokens: int = Field(
        0, ge=0, description="The longest text, in tokens; 0 for the model's own bound (`max_seq_length`)."
    )
    dimensions: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        max_length=64,
        description="Shorter vectors that it is trained for (Matryoshka), beside those that its `config.json` names.",
    )
    max_texts: int = Field(2048, ge=1, description="The most texts of one request.")
    batch_texts: int = Field(64, ge=1, description="The most texts of one batch.")
    batch_tokens: int = Field(
        4096, ge=1, description="The most tokens of one batch; a longer text is a batch of its own."
    )
    pair_template: str = Field(
        "",
        max_length=1 << 16,
        description="How a query and a document are put into one text, for a model of `task: text-ranking`: a template "
        "as vLLM takes it (`--chat-template`), with two messages of the roles `query` and `document`. Without it, "
        "the template in its files, or the pair of its tokenizer.",
    )
