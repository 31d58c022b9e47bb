"""What a text is held to: one JSON value, free text with calls in it, or either alone. Engines make masks of these."""

from dataclasses import dataclass, replace

MAX_CHARACTERS = 1 << 18
"""The largest grammar that is looked at: the schemas of many tools together."""


class GrammarError(ValueError):
    """An engine cannot hold a text to a grammar. The message names what it cannot do, for example the keyword."""


class FatalGrammarError(GrammarError):
    """An engine has failed in the middle of its work with a grammar: no other engine of its kind is to get it."""

    def __init__(self, reason: str = "the engine has failed to compile this form") -> None:
        """Say so."""
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Tag:
    r"""A form within a text.

    Attributes:
        begin: the text that opens it, for example `<tool_call>\n{"name": "f", "arguments": `.
        schema: the JSON Schema, as JSON text, of the value that follows.
        end: the text that closes it, for example `}\n</tool_call>`.
    """

    begin: str
    schema: str
    end: str


@dataclass(frozen=True, slots=True)
class JsonGrammar:
    """The whole text is one JSON value that fits `schema`, a JSON Schema as JSON text."""

    schema: str

    @property
    def size(self) -> int:
        """Characters of its schema."""
        return len(self.schema)


@dataclass(frozen=True, slots=True)
class TagGrammar:
    """Free text, in which every trigger is continued as one of the tags.

    Attributes:
        tags: the forms.
        triggers: what opens one; the `begin` of each tag starts with one of them.
        at_least_one: the text begins with a tag.
        stop_after_first: the text ends with its first tag.
    """

    tags: tuple[Tag, ...]
    triggers: tuple[str, ...]
    at_least_one: bool
    stop_after_first: bool

    def __post_init__(self) -> None:
        if not self.tags or not all(self.triggers):
            raise ValueError("a grammar of tags has at least one tag, and no empty trigger")
        for tag in self.tags:
            if not tag.begin.startswith(self.triggers):
                raise ValueError(f"no trigger opens the tag that begins with {tag.begin!r}")

    @property
    def size(self) -> int:
        """Characters of its schemas."""
        return sum(len(tag.schema) for tag in self.tags)


@dataclass(frozen=True, slots=True)
class JsonOrTagsGrammar:
    """The whole text is one JSON value, or tags on lines of their own and nothing else.

    Attributes:
        json: the value.
        tags: the forms that may be written in its place.
        one_tag: the text has one tag at most.
    """

    json: JsonGrammar
    tags: tuple[Tag, ...]
    one_tag: bool

    def __post_init__(self) -> None:
        if not self.tags:
            raise ValueError("a grammar of tags has at least one tag")

    @property
    def size(self) -> int:
        """Characters of its schemas."""
        return self.json.size + sum(len(tag.schema) for tag in self.tags)

    def relaxed(self) -> "JsonOrTagsGrammar":
        """The same with any object in its tags."""
        return replace(self, tags=tuple(replace(tag, schema='{"type":"object"}') for tag in self.tags))


Grammar = JsonGrammar | TagGrammar | JsonOrTagsGrammar
