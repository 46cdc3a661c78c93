"""Inside: one program (what to evaluate) over the rows of a batch, a frame for each. Standard library only.

A program is JSON: `{"kind": "python", "source", "function", "arguments", "chat", "extra_keys", "columns"}` or `{"kind":
"regex", ...}` with what the scorer of that kind reads (scorers.py, library_scorers.py). A row is a line of JSON.
"""

import builtins
import json
import math
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from worker.sandbox import frames, library_scorers, scorers, values
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS
from worker.sandbox.scorers import GradeError
from worker.sandbox.shown import FILENAME, Capture, cut, describe

# Errors after which the interpreter's state is doubtful, or that show a wish to end it: the process ends after the row.
ODD_ERRORS = (MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit)

Row = Callable[[bytes], bytes]
Rows = Callable[[Sequence[bytes]], Iterator[bytes]]


class FaultyRow(Exception):  # noqa: N818 - carries a result
    """The row has its frame, and this process takes no further row."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self.frame = frame


class CallFailed(Exception):  # noqa: N818 - no fault of ours
    """One call for several rows gave no scores: each is to be tried by itself."""


def prepare(program: Mapping[str, Any]) -> Rows:
    """A function from the lines of a batch to their frames."""
    if program["kind"] == "python":
        return _python(program)
    row = _timed(_SCORERS[program["kind"]](program))
    return lambda lines: map(row, lines)


# -- our own types ----------------------------------------------------------------------------------------------------

_SCORERS: dict[str, Callable[[Mapping[str, Any]], scorers.Scorer]] = {
    "regex": scorers.regex,
    "string_check": scorers.string_check,
    "number": scorers.number,
    "choice": scorers.choice,
    "math": library_scorers.mathematics,
    "text_similarity": library_scorers.text_similarity,
    "json_schema": library_scorers.json_schema,
}


def _timed(score: scorers.Scorer) -> Row:
    def row(line: bytes) -> bytes:
        text, reference = json.loads(line)
        start = time.perf_counter()
        try:
            scored = score(text, reference)
        except GradeError as error:
            return _error_frame(str(error), ms=_ms_since(start))
        except Exception as error:  # noqa: BLE001 - a library's fault with this text, not ours to end on
            frame = _error_frame(f"{type(error).__name__}: {error}", ms=_ms_since(start))
            if isinstance(error, ODD_ERRORS):
                raise FaultyRow(frame) from None
            return frame
        ms = _ms_since(start)
        if isinstance(scored, float) or scored.reason is None:
            return frames.number(scored if isinstance(scored, float) else scored.score, ms=ms)
        return _frame(score=scored.score, status="ok", reason=scored.reason, ms=ms, stdout="")

    return row


# -- Python -----------------------------------------------------------------------------------------------------------


def _python(program: Mapping[str, Any]) -> Rows:
    source = program["source"]
    try:
        code = compile(source, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # what parsing alone does not find
        refusal = _error_frame(describe(error, source=source), ms=0.0)
        return lambda lines: iter([refusal] * len(lines))
    capture = Capture()
    sys.stdout = sys.stderr = capture
    namespace: dict[str, Any] = {}

    def call(lines: Sequence[bytes], arguments: Mapping[str, Any]) -> Any:
        """The module is executed anew, so that globals changed by one row are not there for the next."""
        nonlocal namespace
        namespace.clear()  # functions and their globals hold each other: the last row's memory would stay
        seed(zlib.crc32(b"\n".join(lines)))
        namespace = {"__name__": "verifier", "__builtins__": builtins}
        exec(code, namespace)  # noqa: S102 - what the sandbox is for
        function: Any = namespace[program["function"]]
        return function(**arguments)

    def guarded(lines: Sequence[bytes], work: Callable[[], list[bytes]]) -> list[bytes]:
        """Whatever ends the work ends in a frame; several rows are then to be tried one by one."""
        capture.clear()
        start = time.perf_counter()
        try:
            return work()
        except GradeError as error:
            odd, reason = False, str(error)
        except BaseException as error:  # noqa: BLE001 - the edge of the verifier: becomes its record
            odd, reason = isinstance(error, ODD_ERRORS), describe(error, source=source)
        if len(lines) > 1:
            raise CallFailed
        frame = _error_frame(reason, ms=_ms_since(start), stdout=capture.text())
        if odd:
            raise FaultyRow(frame) from None
        return [frame]

    def one_by_one(lines: Sequence[bytes]) -> Iterator[bytes]:
        wanted, chat, loose = program["arguments"], program["chat"], program["extra_keys"]
        for line in lines:

            def work(line: bytes = line) -> list[bytes]:
                row = json.loads(line)
                arguments = _asked(lambda: {name: values.value(key, row, chat=chat) for name, key in wanted.items()})
                start = time.perf_counter()
                value = call([line], arguments)
                return [_value_frame(value, ms=_ms_since(start), stdout=capture.text(), loose=loose)]

            yield from guarded([line], work)

    def at_once(lines: Sequence[bytes]) -> Iterator[bytes]:
        def work() -> list[bytes]:
            rows = [json.loads(line) for line in lines]
            arguments = _asked(lambda: _columns(program, rows))
            start = time.perf_counter()
            scores = call(lines, arguments)
            if type(scores) not in (list, tuple) or len(scores) != len(rows):
                got = f"{len(scores)} scores" if type(scores) in (list, tuple) else _type_name(type(scores))
                raise GradeError(
                    f"the verifier returned {got} for {len(rows)} completions; it returns a list of scores"
                )
            ms, text = _ms_since(start) / len(rows), capture.text()
            return [_value_frame(score, ms=ms, stdout=text, loose=False) for score in scores]

        yield from guarded(lines, work)

    return at_once if program["columns"] is not None else one_by_one


def _asked(arguments: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return arguments()
    except values.MissingValueError as error:
        raise GradeError(str(error)) from None


def _columns(program: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Lists with a value a row: what the signature names, the columns asked for, with `**` all other columns."""
    chat, asked = program["chat"], program["columns"]
    arguments = {
        name: [values.value(key, row, chat=chat) for row in rows] for name, key in program["arguments"].items()
    }
    for name in asked["required"]:
        arguments[name] = [values.column(name, row, required=True) for row in rows]
    others = set(asked["optional"])
    if asked["every"]:
        others |= {name for row in rows for name in row["item"]} - {"prompt", "completion", "prompts", "completions"}
    for name in sorted(others - set(arguments)):
        found = [values.column(name, row, required=False) for row in rows]
        if any(value is not None for value in found):
            arguments[name] = found
    return arguments


def seed(number: int) -> None:
    """`random`, and numpy's generator where it is there."""
    random.seed(number)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(number)


def _value_frame(value: object, *, ms: float, stdout: str, loose: bool) -> bytes:
    if type(value) is dict:
        return _object_frame(_with_components(value) if loose else value, ms=ms, stdout=stdout)
    if value is None:
        return _frame(score=None, status="abstain", ms=ms, stdout=stdout)
    score = finite(value, what="the verifier returned")
    return _frame(score=score, status="ok", ms=ms, stdout=stdout) if stdout else frames.number(score, ms=ms)


def _with_components(value: dict[object, object]) -> dict[object, object]:
    """verl's `{"score": number, "acc": ..., "pred": ...}`: the other numbers are components, the rest is left out."""
    named: dict[object, object] = {
        name: number
        for name, number in value.items()
        if type(name) is str and name != "score" and type(number) in (int, float, bool)
    }
    return {"score": value["score"], "components": named} if "score" in value else value


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
    elif _is_numpy_scalar(kind):
        score = float(value)  # type: ignore[arg-type]
    else:
        raise GradeError(f"{what} {_type_name(kind)}, not a number")
    if not math.isfinite(score):
        raise GradeError(f"{what} {score}, which is no finite number")
    return score


def _is_numpy_scalar(kind: type) -> bool:
    """numpy's numbers and truth values, `numpy.float32` for instance; no subclass of them."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and kind.__module__ == "numpy" and issubclass(kind, numpy.number | numpy.bool_)


def _type_name(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return f"a value of type {name[:100]}"


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
            "reason": reason if reason is None else cut(reason, REASON_CHARS),
            "components": components or {},
            "ms": ms,
            "stdout": stdout,
        }
    )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
