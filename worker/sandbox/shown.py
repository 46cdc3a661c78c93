"""Inside: what users see of a verifier's run: its output and errors, truncated with a note."""

from types import TracebackType

from worker.sandbox.policy import REASON_CHARS, STDOUT_CHARS

FILENAME = "<verifier>"
"""Filename of the author's lines in a traceback."""


class Capture:
    """Replaces stdout and stderr; keeps the first `STDOUT_CHARS` characters."""

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
        """Do nothing: there is no underlying stream."""

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        text = "".join(self._parts)
        return truncate(text, STDOUT_CHARS, lost=self._lost) if self._lost else text


def truncate(text: str, limit: int, *, lost: int = 0) -> str:
    """Cut the text to `limit` characters, ending in a note if something was cut."""
    lost += max(0, len(text) - limit)
    if not lost:
        return text
    note = f"\n... truncated: more than {lost} characters are missing"
    return text[: limit - len(note)] + note


def describe(error: BaseException, *, source: str) -> str:
    """Format the error and the author's lines of its traceback, truncated. `str(error)` is user code and may fail."""
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
        message = truncate("".join(["", text[:REASON_CHARS]]), REASON_CHARS - 1800, lost=lost)
    except BaseException:  # noqa: BLE001 - __str__ of a user's exception
        message = "(its text cannot be shown)"
    name = type.__dict__["__name__"].__get__(type(error))
    head = f"{name[:100]}: {message}" if message else name[:100]
    return truncate("\n".join([head, *shown]), REASON_CHARS)
