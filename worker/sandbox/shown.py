"""Inside: what people get to see of a verifier's run: its printing and its errors, cut, and saying so."""

from types import TracebackType

from worker.sandbox.policy import REASON_CHARS, STDOUT_CHARS

FILENAME = "<verifier>"
"""Of the author's lines in a traceback."""


class Capture:
    """Stands for stdout and stderr; keeps the first characters."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._parts: list[str] = []
        self._kept = 0
        self._lost = 0

    def write(self, text: str) -> int:
        room = STDOUT_CHARS - self._kept
        if room > 0:
            part = text[:room]
            self._parts.append(part)
            self._kept += len(part)
        self._lost += max(0, len(text) - room)
        return len(text)

    def flush(self) -> None:
        """There is nothing behind it."""

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        text = "".join(self._parts)
        return cut(text, STDOUT_CHARS, lost=self._lost) if self._lost else text


def cut(text: str, limit: int, *, lost: int = 0) -> str:
    """At most `limit` characters, the last of which say that there were more."""
    lost += max(0, len(text) - limit)
    if not lost:
        return text
    note = f"\n... cut: more than {lost} characters are missing"
    return text[: limit - len(note)] + note


def describe(error: BaseException, *, source: str) -> str:
    """The error and the author's lines of its traceback, cut. `str(error)` is the author's code: it may fail."""
    lines = source.splitlines()
    shown: list[str] = []
    step: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == FILENAME:
            text = lines[step.tb_lineno - 1].strip() if 0 < step.tb_lineno <= len(lines) else ""
            shown.append(f"  line {step.tb_lineno}, in {code.co_name}: {text[:200]}")
        step = step.tb_next
    if len(shown) > 8:
        shown[4:-4] = [f"  ... {len(shown) - 8} more"]
    try:
        text = str(error)
        lost = max(0, str.__len__(text) - REASON_CHARS)
        message = cut("".join(["", text[:REASON_CHARS]]), REASON_CHARS - 1800, lost=lost)
    except BaseException:  # noqa: BLE001 - __str__ of a user's exception
        message = "(its text cannot be shown)"
    name = type.__dict__["__name__"].__get__(type(error))
    head = f"{name[:100]}: {message}" if message else name[:100]
    return cut("\n".join([head, *shown]), REASON_CHARS)
