"""Vectors of texts, as `sentence-transformers` makes them: its files read, without the library.

    modules.json                      the steps: the model itself, then `Pooling`, `Dense`, `Normalize`
    <n>_Pooling/config.json           how the vectors of the tokens become one
    <n>_Dense/config.json             a layer behind it, with its weights in `model.safetensors`
    sentence_bert_config.json         the longest text, and whether texts are lower-cased
    config_sentence_transformers.json the prompts that go before texts

The library would bring scikit-learn, SciPy and more for what is some arithmetic on the model's output. What a file
asks for and is not known here is refused when the model is loaded: a vector made otherwise would be a wrong one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deployments.settings import EmbeddingSettings
from deployments.sources.checkpoint import SCORES_BY_LOGITS, steps_behind

Layer = Callable[[torch.Tensor], torch.Tensor]
_ACTIVATIONS: Mapping[str, Layer] = {
    "Identity": lambda vectors: vectors,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": torch.nn.functional.gelu,
}


class RecipeError(Exception):
    """The files ask for something that is not known here."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the output of a model becomes the vectors of texts.

    Attributes:
        pooling: the names of poolings, whose vectors are put behind each other.
        steps: the layers behind them.
        normalize: whether the vectors have the length 1.
        max_tokens: the longest text; 0 where the files do not say.
        lower: texts are lower-cased.
        prompts: what goes before a text, by name.
        default_prompt: the name of the prompt of requests that name none; empty for none.
    """

    pooling: tuple[str, ...] = ("mean",)
    steps: tuple[Layer, ...] = ()
    normalize: bool = True
    max_tokens: int = 0
    lower: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""


def read_recipe(folder: Path, settings: EmbeddingSettings) -> Recipe:
    """Read the files in `folder`; what `settings` say goes before them. Without `modules.json`: the mean, of length 1.

    Raises:
        RecipeError: the files cannot be read, or ask for something that is not known here.
    """
    try:
        recipe = _read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"the files of sentence-transformers cannot be read: {error!r}") from error
    pooling = recipe.pooling if settings.pooling == "auto" else (settings.pooling,)
    normalize = recipe.normalize if settings.normalize == "auto" else settings.normalize
    longest = settings.max_tokens or recipe.max_tokens
    return Recipe(pooling, recipe.steps, normalize, longest, recipe.lower, recipe.prompts, recipe.default_prompt)


class LogitScore(NamedTuple):
    """How a score is read from what a language model would write behind a pair.

    Attributes:
        yes: the token whose logit is the score.
        no: the token whose logit is taken away from it; `None` for none.
    """

    yes: int
    no: int | None

    @property
    def tokens(self) -> tuple[int, ...]:
        """Both tokens, or the one."""
        return (self.yes,) if self.no is None else (self.yes, self.no)


class ScoreFiles(NamedTuple):
    """What the files of a model that scores pairs say.

    Attributes:
        activation: the function that its scores go through; empty where they do not say.
        prompt: what goes before pairs; empty for nothing.
        logits: how the score is read from the logits of a language model; `None` for a model with a head for scores.
    """

    activation: str
    prompt: str
    logits: LogitScore | None


def read_score_files(folder: Path) -> ScoreFiles:
    """Read the same files of a model that scores pairs of texts.

    Raises:
        RecipeError: the files cannot be read, or have steps behind the model itself that are not known here.
    """
    try:
        said, steps = _json(folder / "config_sentence_transformers.json"), steps_behind(folder)
        prompt = str((said.get("prompts") or {}).get(said.get("default_prompt_name") or "") or "")
        place = steps.pop(SCORES_BY_LOGITS, None)
        logits = None if place is None else _logit_score(_json(place / "config.json"))
        files = ScoreFiles(str(said.get("activation_fn") or ""), prompt, logits)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"the files of sentence-transformers cannot be read: {error!r}") from error
    if steps:
        raise RecipeError(f"modules.json has a module {next(iter(steps))[:64]}, which is not known for scores here")
    return files


def _logit_score(config: Mapping[str, Any]) -> LogitScore:
    no = config.get("false_token_id")
    return LogitScore(int(config["true_token_id"]), None if no is None else int(no))


def _read(folder: Path) -> Recipe:
    bert, prompting = _json(folder / "sentence_bert_config.json"), _json(folder / "config_sentence_transformers.json")
    prompts = {str(name): str(text) for name, text in (prompting.get("prompts") or {}).items()}
    usual = str(prompting.get("default_prompt_name") or "")
    if usual and usual not in prompts:
        raise RecipeError(f"its default prompt {usual} is none of its prompts")
    pooling: tuple[str, ...] = ("mean",)
    steps: list[Layer] = []
    normalize, modules = True, folder / "modules.json"
    if modules.is_file():
        normalize = False
        for module in json.loads(modules.read_text(encoding="utf-8")):
            place = folder / module["path"]
            match module["type"].rpartition(".")[2]:
                case "Transformer":
                    pass
                case "Pooling":
                    pooling = _pooling(_json(place / "config.json"), has_prompts=any(prompts.values()))
                case "Dense":
                    steps.append(_dense(place))
                case "Normalize":
                    normalize = True
                case other:
                    raise RecipeError(f"modules.json has a module {other}, which is not known here")
    return Recipe(
        pooling,
        tuple(steps),
        normalize,
        int(bert.get("max_seq_length") or 0),
        bool(bert.get("do_lower_case")),
        prompts,
        usual,
    )


def _json(file: Path) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return read


_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
"""The keys of a pooling's configuration, in the order in which the library puts the vectors behind each other."""

_NAMES = {"mean_sqrt_len_tokens": "mean_sqrt_len", "weightedmean": "weighted_mean", "lasttoken": "last"}
"""The names of newer configurations that are not the ones used here."""


def _pooling(config: Mapping[str, Any], *, has_prompts: bool) -> tuple[str, ...]:
    if has_prompts and not config.get("include_prompt", True):
        raise RecipeError("its pooling leaves out the prompt (include_prompt: false), which is not known here")
    named = config.get("pooling_mode")
    given = [named] if isinstance(named, str) else named or [mode for key, mode in _MODES.items() if config.get(key)]
    modes = tuple(_NAMES.get(mode, mode) for mode in given)
    if unknown := [mode for mode in modes if mode not in POOLINGS]:
        raise RecipeError(f"its pooling {unknown[0]} is not known here")
    return modes or ("mean",)


def _dense(place: Path) -> Layer:
    from safetensors.torch import load_file

    config = _json(place / "config.json")
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise RecipeError(f"the activation {name} of {place.name} is not known here")
    weights = place / "model.safetensors"
    if not weights.is_file():
        raise RecipeError(f"{place.name} has no model.safetensors")
    loaded = {key.removeprefix("linear."): weight.float() for key, weight in load_file(weights).items()}
    matrix, bias, activate = loaded["weight"], loaded.get("bias"), _ACTIVATIONS[name]

    def dense(vectors: torch.Tensor) -> torch.Tensor:
        there = vectors.device
        added = None if bias is None else bias.to(there)
        return activate(torch.nn.functional.linear(vectors, matrix.to(there), added))

    return dense


def pool(hidden: torch.Tensor, mask: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return one vector a text, in float32.

    Args:
        hidden: the model's output, by texts, tokens and dimensions.
        mask: 1 where a token is one of the text, by texts and tokens; texts begin at the first token.
        recipe: how the vectors are made.
    """
    hidden, weights = hidden.float(), mask.unsqueeze(-1).float()
    vectors = torch.cat([POOLINGS[name](hidden, weights) for name in recipe.pooling], dim=-1)
    for step in recipe.steps:
        vectors = step(vectors)
    return unit(vectors) if recipe.normalize else vectors


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Return the vectors with the length 1."""
    return torch.nn.functional.normalize(vectors, dim=-1)


def _last(hidden: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    last = weights.squeeze(-1).sum(dim=1).long() - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def _weighted_mean(hidden: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    growing = weights * torch.arange(1, hidden.shape[1] + 1, device=hidden.device).view(1, -1, 1)
    return (hidden * growing).sum(dim=1) / growing.sum(dim=1)


POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": lambda hidden, weights: (hidden * weights).sum(dim=1) / weights.sum(dim=1),
    "cls": lambda hidden, _: hidden[:, 0],
    "max": lambda hidden, weights: hidden.masked_fill(weights == 0, -torch.inf).amax(dim=1),
    "mean_sqrt_len": lambda hidden, weights: (hidden * weights).sum(dim=1) / weights.sum(dim=1).sqrt(),
    "weighted_mean": _weighted_mean,
    "last": _last,
}
"""Each pooling, by the name that a spec gives it."""
