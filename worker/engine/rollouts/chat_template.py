"""Rendering of a conversation with a model's chat template, or one clause that says why it cannot be rendered.

Templates come with models: any of them may refuse a role, or leave out what it does not know, such as tools. Both are
errors here, because a prompt without a part of its row is another question. This module does not need torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from jinja2 import TemplateError

Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]

TEMPLATE_ERRORS = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError),
)
"""What an expression in a template can raise; `raise_exception` raises a TemplateError."""
MAX_REASON = 300
SEPARATOR = "\n\n"
"""After an instruction before a row's own system message, and after a system message that is folded."""


class ChatTokenizer(Protocol):
    """The part of a transformers tokenizer that prompts need."""

    chat_template: str | None
    name_or_path: str
    """The model's name, for error messages."""

    def apply_chat_template(
        self,
        conversation: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        tokenize: Literal[False],
    ) -> str:
        """Render a conversation as text, ready for the assistant's turn."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Convert a text to token ids."""


class ChatTemplateError(ValueError):
    """A conversation that the model's chat template cannot write. The message is a clause without its row."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param
        """The setting that helps, or "model"."""


def render(tokenizer: ChatTokenizer, messages: Sequence[Message], *, tools: Tools) -> str:
    """Render a conversation up to the assistant's turn. ChatTemplateError if the template cannot write all of it.

    The role `developer` is written as `system`, its name in chat templates.
    """
    if not tokenizer.chat_template:
        raise ChatTemplateError(f"the tokenizer of {_model(tokenizer)} has no chat template", param="model")
    messages = [{**message, "role": "system"} if _is_system(message) else message for message in messages]
    try:
        text = _apply(tokenizer, messages, tools)
    except TEMPLATE_ERRORS as error:
        raise _refusal(tokenizer, messages, tools, error=error) from error
    _require_complete(tokenizer, messages, tools, text=text)
    return text


def asked(messages: Sequence[Message], *, instruction: str, fold: bool) -> list[Message]:
    """Return the messages that the model gets for those of a row. ChatTemplateError if they cannot be folded."""
    told = instructed(messages, instruction=instruction)
    return folded(told) if fold else told


def instructed(messages: Sequence[Message], *, instruction: str) -> list[Message]:
    """Put the instruction before the messages, as the beginning of the system message that is first, or as one."""
    if not instruction:
        return list(messages)
    if messages and _is_system(messages[0]):
        first, *others = messages
        return [{**first, "content": _after(instruction + SEPARATOR, first["content"])}, *others]
    return [{"role": "system", "content": instruction}, *messages]


def folded(messages: Sequence[Message]) -> list[Message]:
    """Put the text of each system message before that of the next user message (`fold_system`).

    ChatTemplateError if there is no user message after it, or an image in it.
    """
    found: list[Message] = []
    instructions: list[str] = []
    for message in messages:
        if _is_system(message):
            text = _text(message["content"])
            instructions += [text] if text.strip() else []
        elif message["role"] == "user" and instructions:
            found.append({**message, "content": _after(SEPARATOR.join([*instructions, ""]), message["content"])})
            instructions = []
        else:
            found.append(message)
    if instructions:
        raise ChatTemplateError(
            "the setting fold_system needs a user message after each system message", param="fold_system"
        )
    return found


def _text(content: Any) -> str:
    """Join the texts of a system message. ChatTemplateError if it contains an image."""
    if isinstance(content, str):
        return content
    if not all(isinstance(part.get("text"), str) for part in content):
        raise ChatTemplateError("the setting fold_system needs system messages without images", param="fold_system")
    return "".join(part["text"] for part in content)


def _after(text: str, content: Any) -> Any:
    return text + content if isinstance(content, str) else [{"type": "text", "text": text}, *content]


def _apply(tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Tools) -> str:
    return tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=[dict(tool) for tool in tools] or None,
        add_generation_prompt=True,
        tokenize=False,
    )


def _renders(tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Tools) -> bool:
    try:
        return bool(_apply(tokenizer, messages, tools))
    except TEMPLATE_ERRORS:
        return False


def _refusal(
    tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Tools, *, error: Exception
) -> ChatTemplateError:
    """Describe why the template does not render the conversation, and what would help."""
    reason = " ".join(str(error).split()) or type(error).__name__
    refused = f'the chat template of {_model(tokenizer)} refuses the messages: "{reason:.{MAX_REASON}}"'
    if _has(messages, "system") and _renders(tokenizer, _folded_or_same(messages), tools):
        return ChatTemplateError(
            f"{refused}; it takes them with the system message in the first user message: set fold_system",
            param="fold_system",
        )
    if tools and _renders(tokenizer, messages, ()):
        return ChatTemplateError(f"{refused}; it takes them without tools: use a model with tools", param="model")
    return ChatTemplateError(f"{refused}; change the messages or use another model", param="model")


def _folded_or_same(messages: Sequence[Message]) -> Sequence[Message]:
    try:
        return folded(messages)
    except ChatTemplateError:
        return messages


def _require_complete(tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Tools, *, text: str) -> None:
    """Raise ChatTemplateError if the text is the same without the tools, the tool calls, or the messages of a role."""
    for part, remedy, param, other, other_tools in _without_a_part(messages, tools):
        try:
            is_same = _apply(tokenizer, other, other_tools) == text
        except TEMPLATE_ERRORS:
            continue
        if is_same:
            reason = f"the chat template of {_model(tokenizer)} leaves out {part}: {remedy}"
            raise ChatTemplateError(reason, param=param)


def _without_a_part(
    messages: Sequence[Message], tools: Tools
) -> Iterator[tuple[str, str, str, Sequence[Message], Tools]]:
    """Yield (part, remedy, setting that helps, messages and tools without the part) for what templates may leave out.

    A message is altered and not removed, because a template may refuse the turns that are left.
    """
    remedy = "use a model whose template writes them, or remove them"
    if tools:
        yield "the tools", remedy, "model", messages, ()
    if any(message.get("tool_calls") for message in messages):
        without = [{key: value for key, value in message.items() if key != "tool_calls"} for message in messages]
        yield "the tool calls", remedy, "model", without, tools
    if _has(messages, "tool"):
        yield "the answers of tools", remedy, "model", _altered(messages, role="tool"), tools
    if _has(messages, "system"):
        yield "the system messages", "set fold_system", "fold_system", _altered(messages, role="system"), tools


def _altered(messages: Sequence[Message], *, role: str) -> list[Message]:
    return [
        {**message, "content": _after("x", message["content"])} if message["role"] == role else message
        for message in messages
    ]


def _is_system(message: Message) -> bool:
    return message["role"] in ("system", "developer")


def _has(messages: Sequence[Message], role: str) -> bool:
    return any(message["role"] == role for message in messages)


def _model(tokenizer: ChatTokenizer) -> str:
    return f"'{tokenizer.name_or_path}'" if tokenizer.name_or_path else "the model"
