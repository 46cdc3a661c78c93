"""Inside: one program (what to evaluate) over the rows of a batch, a frame for each. Standard library only.

A program is JSON: `{"kind": "python", "source", "function", "arguments"}`, `{"kind": "regex", "pattern", "flags",
"group"}` or `{"kind": "string_check", "operation"}`. A row is a line of JSON.
"""

import builtins
import json
import math
import random
import re
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from worker.sandbox import frames
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS, STDOUT_CHARS

FILENAME = "<verifier>"
# Errors after which the interpreter's state is doubtful, or that show a wish to end it: the process ends after the row.
ODD_ERRORS = (MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit)

Row = Callable[[bytes], bytes]


class GradeError(Exception):
    """The reason of an error record."""


class OddRow(Exception):  # noqa: N818 - carries a result
    """The row has its frame, and this process takes no further row."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self.frame = frame


class Capture:
    """Stands for stdout and stderr; keeps the first characters."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._parts: list[str] = []
        self._room = STDOUT_CHARS

    def write(self, text: str) -> int:
        if self._room > 0:
            part = text[: self._room]
            self._parts.append(part)
            self._room -= len(part)
        return len(text)

    def flush(self) -> None:
        """There is nothing behind it."""

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        return "".join(self._parts)[:STDOUT_CHARS]


def prepare(program: Mapping[str, Any]) -> Row:
    """A function from a row's line to its frame."""
    match program["kind"]:
        case "python":
            return _python(program)
        case "regex":
            return _timed(_regex(program))
        case "string_check":
            return _timed(_string_check(program["operation"]))
    raise AssertionError(program["kind"])


# -- our own types ----------------------------------------------------------------------------------------------------


def _timed(score: Callable[[str, str | None], float]) -> Row:
    def row(line: bytes) -> bytes:
        text, reference = json.loads(line)
        start = time.perf_counter()
        try:
            value = score(text, reference)
        except GradeError as error:
            return _error_frame(str(error), ms=_ms_since(start))
        return frames.number(value, ms=_ms_since(start))

    return row


def _regex(program: Mapping[str, Any]) -> Callable[[str, str | None], float]:
    search = re.compile(program["pattern"], program["flags"]).search
    group = program["group"]

    def score(text: str, reference: str | None) -> float:
        found = search(text)
        if found is None:
            return 0.0
        if group is None:
            return 1.0
        if reference is None:
            raise GradeError("the row has no reference answer to compare with")
        answer = found[group]
        return float(answer is not None and answer.strip() == reference.strip())

    return score


def _string_check(operation: str) -> Callable[[str, str | None], float]:
    def score(text: str, reference: str | None) -> float:
        assert reference is not None
        if operation in ("eq", "ne"):
            return float((text == reference) == (operation == "eq"))
        if not reference:
            raise GradeError("the reference is empty, and every text contains the empty text")
        if operation == "ilike":
            return float(reference.casefold() in text.casefold())
        return float(reference in text)

    return score


# -- Python -----------------------------------------------------------------------------------------------------------


def _arguments(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values a signature can ask for (backend/verifiers/signatures.py)."""
    text = row["output_text"]
    return {"sample": _Sample(text), "item": row["item"], "output_text": text, "answer": row["answer"]}


def _Sample(text: str) -> dict[str, Any]:
    """`output_json` is the text parsed, or None where it is not JSON."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    message = {"role": "assistant", "content": text}
    return {"output_text": text, "output_json": parsed, "choices": [{"index": 0, "message": message}]}


def _python(program: Mapping[str, Any]) -> Row:
    source = program["source"]
    try:
        code = compile(source, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # what parsing alone does not find
        refusal = _error_frame(describe(error, source=source), ms=0.0)
        return lambda line: refusal
    wanted = program["arguments"]
    capture = Capture()
    sys.stdout = sys.stderr = capture
    namespace: dict[str, Any] = {}

    def row(line: bytes) -> bytes:
        """The module is executed anew, so that globals changed by one row are not there for the next."""
        nonlocal namespace
        namespace.clear()  # functions and their globals hold each other: the last row's memory would stay
        values = _arguments(json.loads(line))
        random.seed(zlib.crc32(line))
        capture.clear()
        start = time.perf_counter()
        try:
            namespace = {"__name__": "verifier", "__builtins__": builtins}
            exec(code, namespace)  # noqa: S102 - what the sandbox is for
            function: Any = namespace[program["function"]]
            value = function(**{parameter: values[name] for parameter, name in wanted.items()})
            return _value_frame(value, ms=_ms_since(start), stdout=capture.text())
        except GradeError as error:
            return _error_frame(str(error), ms=_ms_since(start), stdout=capture.text())
        except BaseException as error:  # noqa: BLE001 - the edge of the verifier: becomes its record
            ms = _ms_since(start)
            frame = _error_frame(describe(error, source=source), ms=ms, stdout=capture.text())
            if isinstance(error, ODD_ERRORS):
                raise OddRow(frame) from None
            return frame

    return row


def _value_frame(value: object, *, ms: float, stdout: str) -> bytes:
    if type(value) is dict:
        return _object_frame(value, ms=ms, stdout=stdout)
    if value is None:
        return _frame(score=None, status="abstain", ms=ms, stdout=stdout)
    score = finite(value, what="the verifier returned")
    return _frame(score=score, status="ok", ms=ms, stdout=stdout) if stdout else frames.number(score, ms=ms)


def _object_frame(value: dict[object, object], *, ms: float, stdout: str) -> bytes:
    """`{"score": number or None, "components": {name: number}, "reason": text}`."""
    unknown = [key for key in value if type(key) is not str or key not in ("score", "components", "reason")]
    if unknown or "score" not in value:
        raise GradeError("a verifier that returns a dict gives 'score', and may give 'components' and 'reason'")
    components, reason = value.get("components", {}), value.get("reason")
    if type(components) is not dict or len(components) > COMPONENTS:
        raise GradeError(f"'components' is a dict of at most {COMPONENTS} numbers")
    if reason is not None and type(reason) is not str:
        raise GradeError("'reason' is a text")
    named: dict[str, float] = {}
    for name, number in components.items():
        if type(name) is not str or len(name) > COMPONENT_NAME_CHARS:
            raise GradeError(f"the names of 'components' are texts of at most {COMPONENT_NAME_CHARS} characters")
        named[name] = finite(number, what=f"the component '{name}' is")
    raw = value["score"]
    score = None if raw is None else finite(raw, what="'score' is")
    status = "abstain" if score is None else "ok"
    return _frame(score=score, status=status, reason=reason, components=named, ms=ms, stdout=stdout)


def finite(value: object, *, what: str) -> float:
    """The number as Python's own float; reads the value that is stored, not what a subclass says of itself."""
    kind = type(value)
    if issubclass(kind, int):
        try:
            score = float(int.__int__(value))  # type: ignore[arg-type]
        except OverflowError as error:
            raise GradeError(f"{what} an integer too large for a score") from error
    elif issubclass(kind, float):
        score = float.__float__(value)  # type: ignore[arg-type]
    else:
        raise GradeError(f"{what} {_type_name(kind)}, not a number")
    if not math.isfinite(score):
        raise GradeError(f"{what} {score}, which is no finite number")
    return score


def _type_name(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return f"a value of type {name[:100]}"


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
        message = "".join(["", str(error)[:REASON_CHARS]])
    except BaseException:  # noqa: BLE001 - __str__ of a user's exception
        message = "(its text cannot be shown)"
    name = type.__dict__["__name__"].__get__(type(error))
    head = f"{name[:100]}: {message}" if message else name[:100]
    return "\n".join([head[: REASON_CHARS - 1200], *shown])[:REASON_CHARS]


# -- frames -----------------------------------------------------------------------------------------------------------


def _error_frame(reason: str, *, ms: float, stdout: str = "") -> bytes:
    return _frame(score=None, status="error", reason=reason, ms=ms, stdout=stdout)


def _frame(
    *,
    score: float | None,
    status: str,
    ms: float,
    stdout: str,
    reason: str | None = None,
    components: Mapping[str, float] | None = None,
) -> bytes:
    return frames.record(
        {
            "score": score,
            "status": status,
            "reason": reason if reason is None else reason[:REASON_CHARS],
            "components": components or {},
            "ms": ms,
            "stdout": stdout,
        }
    )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
