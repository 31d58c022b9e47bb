"""Remote models: upstreams of OpenAI's formats or of Anthropic's that the routers call themselves."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, StringConstraints, model_validator

from deployments.settings.base import WITH_SPACES, ModelId, NonEmpty, Seconds, Settings, VectorSpace
from deployments.settings.stream_limits import StreamLimitSettings

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""A label of a remote model, such as `eu`: the boundary of a key names labels."""
QueryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,100}$")]
QueryValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=1024)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4096)]

OWN_HEADERS = frozenset({"authorization", "content-type", "content-length", "host", "accept-encoding"})
"""Headers that are set here; a key belongs into `api_key_env`."""

RemoteApi = Literal["chat", "responses", "messages"]
"""OpenAI's chats, OpenAI's Responses, or Anthropic's Messages."""

RankingApi = Literal["rerank", "tei", "score"]
"""Reranking as Jina, Cohere, Voyage and vLLM have it; as Text Embeddings Inference has it; or vLLM's scores."""

RequestKind = Literal["chat", "text"]
"""A chat, or a text completion; the native API's requests are chats."""

SECRET: dict[str, JsonValue] = {"writeOnly": True}
"""Of a field that credentials stand in, or are put into by mistake: errors do not quote its value."""


class EndpointSpec(Settings):
    """One of several places where a remote model can be reached."""

    base_url: NonEmpty = Field(description="Where its API begins, such as `https://api.example.com/v1`.")
    api_key_env: VariableName | None = Field(
        None, description="The environment variable with the key of this endpoint.", json_schema_extra=SECRET
    )
    weight: float = Field(
        1.0, gt=0, le=1000, allow_inf_nan=False, description="Its share of the requests, beside those of the others."
    )

    @model_validator(mode="after")
    def _a_url_without_secrets(self) -> Self:
        _check_url(self.base_url)
        return self


class RemoteSpec(StreamLimitSettings):
    """One model behind an upstream: vLLM, a hosted provider, another Neverblank."""

    base_url: NonEmpty | None = Field(
        None, description="Where its API begins, such as `https://api.example.com/v1`; or `endpoints`."
    )
    endpoints: tuple[EndpointSpec, ...] = Field(
        (), max_length=64, description="Several places where the same model can be reached, in the place of `base_url`."
    )
    affinity: Literal["none", "session", "conversation"] = Field(
        "none",
        description="Which requests go to the same one of the `endpoints`, as long as that is well: those of one "
        "`prompt_cache_key`, `session_id`, `user` or `safety_identifier`; those of one conversation, by its turns up "
        "to the user's first; or none, and of two the one with less load is taken.",
    )
    model: NonEmpty = Field(description="What the upstream calls the model.")
    api: RemoteApi = Field(
        "chat",
        description="What it speaks: OpenAI's chats (it is asked at `/chat/completions`), OpenAI's Responses (at "
        "`/responses`), or Anthropic's Messages (at `/messages`). Requests of every format reach it; what its own has "
        "no place for is listed in `dropped`.",
    )
    labels: tuple[Label, ...] = Field(
        (),
        max_length=64,
        description="What keys with a `boundary` know it by, such as `eu`. Without a label it is asked only for keys "
        "that may go anywhere.",
    )
    task: Literal["text-generation", "feature-extraction", "text-ranking"] = Field(
        "text-generation",
        description="What it does: it writes; it makes vectors of texts, and is asked at `/embeddings`; or it scores "
        "pairs of texts, and is asked as `ranking_api` says.",
    )
    ranking_api: RankingApi = Field(
        "rerank",
        description="How one of `task: text-ranking` is asked: at `/rerank` in the words of Jina, Cohere, Voyage and "
        "vLLM; there in those of Text Embeddings Inference; or at vLLM's `/score`.",
    )
    space: VectorSpace = Field(
        "",
        description="The vector space of its vectors, or scores. Only models of the same space answer for each other; "
        "one of `task: feature-extraction` or `text-ranking` that names none has one of its own.",
    )
    api_key_env: VariableName | None = Field(
        None,
        description="The environment variable with the key; keys are never written into a file.",
        json_schema_extra=SECRET,
    )
    api_key_header: HeaderName | None = Field(
        None,
        description="The header with the key: `authorization` if nothing is said, or `x-api-key` with `api: messages`. "
        "`authorization` has it behind `Bearer`; any other, such as Azure's `api-key`, as it is.",
    )
    query: dict[QueryName, QueryValue] = Field(
        default_factory=dict,
        description="The query of its addresses, such as Azure's `api-version`. Secrets belong into headers.",
        json_schema_extra=SECRET,
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Further headers, as they are. Secrets belong into `header_env`.",
        json_schema_extra=SECRET,
    )
    header_env: dict[HeaderName, VariableName] = Field(
        default_factory=dict,
        description="Further headers by the environment variables that hold their values.",
        json_schema_extra=SECRET,
    )
    tls_ca_file: NonEmpty | None = Field(None, description="Certificates to trust in the place of the system's.")
    connect_timeout_seconds: Seconds = Field(5.0, description="Until a connection stands.")
    max_connections: int = Field(256, ge=1, le=65_536, description="Connections of one router at a time.")
    max_answer_bytes: int = Field(
        16 << 20,
        ge=1024,
        le=1 << 30,
        description="The largest response that is read; a stream's is the sum of it. Of vectors, 128 MiB if nothing is "
        "said: 2,048 vectors of 3,072 numbers.",
    )
    max_event_bytes: int = Field(1 << 20, ge=1024, le=1 << 28, description="The largest single event of a stream.")
    max_header_bytes: int = Field(32 << 10, ge=1024, le=1 << 20, description="The longest single response header.")
    prefill: Literal["assistant", "continue", "never"] = Field(
        "assistant",
        description="How it is told to carry on with a text: by a trailing assistant's message; by one with vLLM's "
        "`continue_final_message`; or, where it takes neither, by a user's message that asks to go on.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the upstream calls the longest answer in tokens."
    )
    default_max_tokens: int = Field(
        4096,
        ge=1,
        le=1 << 20,
        description="The longest answer in tokens where the caller sets none; of `api: messages`, which demands one.",
    )
    completions: bool = Field(
        False,
        description="It has OpenAI's `completions` beside `chat/completions`: text completions reach it as they were "
        "sent, token ids among them. Otherwise the prompt is the only message of a chat.",
    )
    fallbacks: tuple[ModelId, ...] = Field(
        (), description="Models asked in its place, in this order, before the backup."
    )

    @property
    def key_header(self) -> str:
        """The header with the key, in lower case."""
        return (self.api_key_header or ("x-api-key" if self.api == "messages" else "authorization")).lower()

    @property
    def max_vectors_bytes(self) -> int:
        """The largest response with vectors that is read."""
        return self.max_answer_bytes if "max_answer_bytes" in self.model_fields_set else 128 << 20

    def vector_space(self, name: str) -> str:
        """The vector space of its answers, if it is called `name` here; empty for a model that writes."""
        return (self.space or name) if self.task in WITH_SPACES else ""

    @property
    def passes_on(self) -> tuple[RequestKind, ...]:
        """The kinds of requests that reach it as they were sent."""
        return ("chat", "text") if self.completions else ("chat",)

    @property
    def places(self) -> tuple[EndpointSpec, ...]:
        """The endpoints: those of the spec, or the one of its `base_url`. At least one."""
        if self.base_url is None:
            return self.endpoints
        return (EndpointSpec(base_url=self.base_url, api_key_env=self.api_key_env),)

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> Self:
        accepted = "accepted: base_url for one endpoint, or endpoints for several"
        if self.base_url is None and not self.endpoints:
            raise ValueError(f"base_url: is missing; {accepted}")
        if self.base_url is not None and self.endpoints:
            raise ValueError(f"endpoints: is given beside base_url; {accepted}")
        if self.endpoints and self.api_key_env is not None:
            raise ValueError("api_key_env: is given beside endpoints; accepted: the api_key_env of each endpoint")
        if self.base_url is not None:
            _check_url(self.base_url)
        return self

    @model_validator(mode="after")
    def _only_vectors_have_a_space(self) -> Self:
        if self.space and self.task not in WITH_SPACES:
            raise ValueError(f"space: does not go with task: {self.task}; accepted: task: {' or '.join(WITH_SPACES)}")
        if "ranking_api" in self.model_fields_set and self.task != "text-ranking":
            raise ValueError(f"ranking_api: does not go with task: {self.task}; accepted: task: text-ranking")
        return self

    @model_validator(mode="after")
    def _what_chats_alone_have(self) -> Self:
        if self.api == "chat":
            return self
        if self.task != "text-generation":
            raise ValueError(f"task: {self.task} does not go with api: {self.api}; accepted: api: chat")
        if self.completions:
            raise ValueError(f"completions: does not go with api: {self.api}; accepted: api: chat")
        if self.prefill == "continue":
            raise ValueError(f"prefill: continue does not go with api: {self.api}; accepted: assistant or never")
        return self

    @model_validator(mode="after")
    def _headers_that_are_free(self) -> Self:
        names = [name.lower() for name in (*self.headers, *self.header_env)]
        if self.key_header in OWN_HEADERS - {"authorization"}:
            raise ValueError(f"api_key_header: {self.key_header} is set here; accepted: another one")
        if self.key_header in names:
            raise ValueError(f"headers: {self.key_header} is the api_key_header; accepted: others")
        if taken := sorted(OWN_HEADERS.intersection(names)):
            raise ValueError(f"headers: {taken[0]} is set here; accepted: others (a key belongs into api_key_env)")
        if len(set(names)) < len(names):
            raise ValueError("headers: one of them is given twice; accepted: each once, in headers or in header_env")
        return self


def _check_url(url: str) -> None:
    """Check where an API begins.

    Raises:
        ValueError: it is no URL of an HTTP server, or holds what belongs elsewhere.
    """
    accepted = "accepted: a URL such as https://api.example.com/v1"
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"base_url: is no URL ({error}); {accepted}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
        raise ValueError(f"base_url: is not the URL of an HTTP server; {accepted}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"base_url: holds credentials, a query or a fragment; {accepted}, api_key_env and query")
