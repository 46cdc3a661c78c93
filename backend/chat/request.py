"""The body of `POST /v1/chat/completions` in OpenAI's format. Unsupported parameters are refused by name."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from backend.errors import AppError

MAX_MESSAGES = 2000
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
MAX_SEED = 2**63


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ImageUrl(Strict):
    url: str = Field(
        pattern=r"^data:image/",
        description="A data URL, `data:image/png;base64,...`. Other URLs are not fetched.",
    )
    detail: Literal["auto"] | None = None


class Part(Strict):
    """A text or an image."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _content_matches_type(self) -> "Part":
        if (self.text is not None) != (self.type == "text") or (self.image_url is not None) != (
            self.type == "image_url"
        ):
            raise ValueError("a part of type 'text' must have only 'text', one of type 'image_url' only 'image_url'")
        return self


def _to_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _without_tools(value: object) -> object:
    if value in ("tool", "function") or (isinstance(value, list) and value):
        raise ValueError("this server's chat takes neither tools nor calls of them: leave these messages out")
    return value


class Message(Strict):
    """A message. Official clients send `refusal`, `annotations`, `audio` and tool calls back empty, so these may be."""

    role: Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_without_tools)]
    content: Annotated[
        list[Part],
        Field(min_length=1, max_length=MAX_MESSAGES),
        BeforeValidator(_to_parts, json_schema_input_type=str | list[Part]),
    ]
    name: None = None
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any] | None, Field(max_length=0), BeforeValidator(_without_tools)] = None

    def plain(self) -> dict[str, Any]:
        """Return role and content for the engine; the role `developer` becomes `system`."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": [part.model_dump(exclude_none=True) for part in self.content]}


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


def _to_list(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


Stop = Annotated[str, Field(min_length=1, max_length=200)]

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "metadata": (None, {}),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "parallel_tool_calls": (None,),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "prompt_cache_options": (None,),
    "prompt_cache_retention": (None,),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "tool_choice": (None, "none"),
    "tools": (None, []),
    "verbosity": (None,),
    "web_search_options": (None,),
}
"""Parameters of OpenAI's that are not honoured here, and the values with which they ask for nothing."""


class ChatBody(Strict):
    """Defaults are OpenAI's; `temperature` 0 takes the likeliest token. `user` and its like change nothing."""

    model: str = Field(min_length=1, max_length=400)
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: (
        Annotated[
            list[Stop],
            Field(max_length=4),
            BeforeValidator(_to_list, json_schema_input_type=Stop | Annotated[list[Stop], Field(max_length=4)]),
        ]
        | None
    ) = None
    seed: int | None = Field(None, ge=-MAX_SEED, lt=MAX_SEED)
    logprobs: bool | None = None
    skip_special_tokens: bool | None = None
    """vLLM's. None: as in the job that trained the model, else False."""
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    fold_system: bool | None = Field(
        None, description="Put system messages into the user message after them. Default: as the model was trained."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=1000)
    safety_identifier: str | None = Field(None, max_length=1000)
    prompt_cache_key: str | None = Field(None, max_length=1000)

    audio: Any = None
    frequency_penalty: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    metadata: Any = None
    modalities: Any = None
    moderation: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    presence_penalty: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    service_tier: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def requested_logprobs(self) -> int | None:
        """Number of alternatives per token; None for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


def require_supported(body: ChatBody) -> None:
    """Raise AppError for the first parameter with a value that this server does not support."""
    for name, neutral in NEUTRAL.items():
        value = getattr(body, name)
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral):
            raise AppError(
                f"'{name}' is not supported by this server: leave it out.", code="unsupported_parameter", param=name
            )
    if None not in (body.max_tokens, body.max_completion_tokens) and body.max_tokens != body.max_completion_tokens:
        raise AppError(
            "max_tokens and max_completion_tokens mean the same but have different values: send only one.",
            code="invalid_value",
            param="max_tokens",
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise AppError("top_logprobs requires logprobs to be true.", code="invalid_value", param="top_logprobs")
    if body.stream_options is not None and not body.stream:
        raise AppError("stream_options requires stream to be true.", code="invalid_value", param="stream_options")
