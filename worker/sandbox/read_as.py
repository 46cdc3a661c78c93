"""Inside: whether a verifier reads `prompt` and `completion` as lists of messages, found out while it runs.

TRL and the verifiers library pass texts or lists of messages, and a source does not say which it expects. It is first
given texts that note when it looks up a message in them; if it does, the call is repeated with messages. How it gets
there (a method, `zip`, `itemgetter`) makes no difference, and a look-up in anything else is not noted. Where it fails
with texts before it looks one up, it is given messages that note when they are read: if it reads them, they were meant.
"""

from collections.abc import Iterator
from typing import Any

from backend.verifiers.signatures import MESSAGE_KEYS

_OF_MESSAGES = frozenset(
    name for name in {*MESSAGE_KEYS, *dir(list), *dir(dict)} - set(dir(str)) if not name.startswith("__")
)
"""Attributes of a message, as a dict or an object, and of a list of them, that no text has."""


def may_read_messages(source: str) -> bool:
    """Return whether the source names a key of a message at all."""
    return any(key in source for key in MESSAGE_KEYS)


class WatchedText(str):
    """A text that notes when it is read as a list of messages."""

    __slots__ = ()
    read_as_messages = False
    """Whether one was, since the last `forget`."""
    stands_for: type = list

    @classmethod
    def forget(cls) -> None:
        WatchedText.read_as_messages = False

    @classmethod
    def note(cls) -> None:
        WatchedText.read_as_messages = True

    def __getitem__(self, key: Any) -> str:
        if isinstance(key, str):
            self.note()
        part = super().__getitem__(key)
        return type(self)(part) if isinstance(key, slice) else WatchedItem(part)

    def __iter__(self) -> Iterator[str]:
        return map(WatchedItem, super().__iter__())

    def __getattr__(self, name: str) -> Any:
        if name in _OF_MESSAGES:
            self.note()
        raise AttributeError(f"'str' object has no attribute '{name}'", name=name, obj=self)


class WatchedItem(WatchedText):
    """An item of such a text, which notes when it is read as a message."""

    __slots__ = ()
    stands_for = dict

    def __contains__(self, key: object) -> bool:
        if key in MESSAGE_KEYS:
            self.note()
        return super().__contains__(key)  # type: ignore[operator]


class WatchedMessage(dict[str, Any]):
    """A message that notes when it is read."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        WatchedText.note()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        WatchedText.note()
        return super().get(key, default)

    def items(self) -> Any:
        WatchedText.note()
        return super().items()


def watching_isinstance(value: object, kind: Any) -> bool:
    """Stand for `isinstance` in a verifier, to note that it asks whether a text is a list, or an item of it a dict."""
    answer = isinstance(value, kind)
    if not answer and isinstance(value, WatchedText):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if value.stands_for in kinds:
            value.note()
    return answer
