"""Inside: runs one program (a verifier) over the rows of a batch, one frame per row. Standard library only.

A program is JSON: `{"kind": "python", "source", "calls", "chat", "extra_keys", "batched"}` or `{"kind": "regex", ...}`
with the options of that scorer (scorers.py, number.py, choice.py, mathematics.py, library_scorers.py). A call is
`{"function", "instantiate", "arguments", "columns"}`; the scores of several calls are summed. A row is a line of JSON.
"""

import builtins
import itertools
import json
import math
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from worker.sandbox import event_loop, frames, library_scorers, scorers, values
from worker.sandbox.choice import choice
from worker.sandbox.mathematics import mathematics
from worker.sandbox.number import number
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS
from worker.sandbox.scorers import GradeError
from worker.sandbox.shown import FILENAME, Capture, describe, truncate

# Errors after which the interpreter's state is doubtful, or that try to end it: the process exits after the row.
FATAL_ERRORS = (MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit)

RowGrader = Callable[[bytes], bytes]
BatchGrader = Callable[[Sequence[bytes]], Iterator[bytes]]


class FaultyRow(Exception):  # noqa: N818 - carries a result
    """A row with its frame, after which this process must grade no further row."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self.frame = frame


class CallFailed(Exception):  # noqa: N818 - no fault of ours
    """A call for several rows returned no scores: grade each row alone."""


def prepare(program: Mapping[str, Any]) -> BatchGrader:
    """Return a function from the lines of a batch to their frames."""
    if program["kind"] == "python":
        return _python(program)
    row = _timed(_SCORERS[program["kind"]](program))
    return lambda lines: map(row, lines)


# -- built-in types ---------------------------------------------------------------------------------------------------

_SCORERS: dict[str, Callable[[Mapping[str, Any]], scorers.Scorer]] = {
    "regex": scorers.regex,
    "string_check": scorers.string_check,
    "number": number,
    "choice": choice,
    "math": mathematics,
    "text_similarity": library_scorers.text_similarity,
    "json_schema": library_scorers.json_schema,
}


def _timed(score: scorers.Scorer) -> RowGrader:
    def row(line: bytes) -> bytes:
        text, reference = json.loads(line)
        start = time.perf_counter()
        try:
            scored = score(text, reference)
        except GradeError as error:
            return _error_frame(str(error), ms=_ms_since(start))
        except Exception as error:  # noqa: BLE001 - a library failed on this text: an error of the row
            frame = _error_frame(f"{type(error).__name__}: {error}", ms=_ms_since(start))
            if isinstance(error, FATAL_ERRORS):
                raise FaultyRow(frame) from None
            return frame
        ms = _ms_since(start)
        if isinstance(scored, float) or scored.reason is None:
            return frames.number(scored if isinstance(scored, float) else scored.score, ms=ms)
        return _frame(score=scored.score, status="ok", reason=scored.reason, ms=ms, stdout="")

    return row


# -- Python -----------------------------------------------------------------------------------------------------------


def _python(program: Mapping[str, Any]) -> BatchGrader:
    source = program["source"]
    try:
        code = compile(source, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # not found by parsing alone
        refusal = _error_frame(describe(error, source=source), ms=0.0)
        return lambda lines: iter([refusal] * len(lines))
    capture = Capture()
    sys.stdout = sys.stderr = capture
    namespace: dict[str, Any] = {}

    def load(lines: Sequence[bytes]) -> None:
        """Execute the module again for each call, so that no row sees globals changed by another."""
        nonlocal namespace
        namespace.clear()  # functions and their globals form cycles, which would keep the last row's memory
        seed(zlib.crc32(b"\n".join(lines)))
        namespace = {"__name__": "verifier", "__builtins__": builtins}
        exec(code, namespace)  # noqa: S102 - what the sandbox is for
        if "asyncio" in sys.modules:
            event_loop.install()

    def call(function: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        target: Any = namespace[function["function"]]
        if function["instantiate"]:
            target = target()
        result = target(**arguments)
        return event_loop.run(result) if hasattr(type(result), "__await__") else result

    def guarded(lines: Sequence[bytes], work: Callable[[], list[bytes]]) -> list[bytes]:
        """Run `work` and turn any exception into a frame; for several rows raise CallFailed instead."""
        capture.clear()
        start = time.perf_counter()
        try:
            return work()
        except GradeError as error:
            fatal, reason = False, str(error)
        except BaseException as error:  # noqa: BLE001 - the edge of the verifier: becomes its record
            fatal, reason = isinstance(error, FATAL_ERRORS), describe(error, source=source)
        if len(lines) > 1:
            raise CallFailed
        frame = _error_frame(reason, ms=_ms_since(start), stdout=capture.text())
        if fatal:
            raise FaultyRow(frame) from None
        return [frame]

    def one_by_one(lines: Sequence[bytes]) -> Iterator[bytes]:
        (function,), chat, extra_keys = program["calls"], program["chat"], program["extra_keys"]
        parameters = function["arguments"]
        for line in lines:

            def work(line: bytes = line) -> list[bytes]:
                row = json.loads(line)
                arguments = _arguments(
                    lambda: {name: values.value(key, row, chat=chat) for name, key in parameters.items()}
                )
                start = time.perf_counter()
                load([line])
                value = call(function, arguments)
                return [_value_frame(value, ms=_ms_since(start), stdout=capture.text(), extra_keys=extra_keys)]

            yield from guarded([line], work)

    def batched(lines: Sequence[bytes]) -> Iterator[bytes]:
        def work() -> list[bytes]:
            rows = [json.loads(line) for line in lines]
            wanted = [_arguments(partial(_columns, each, rows, chat=program["chat"])) for each in program["calls"]]
            start = time.perf_counter()
            load(lines)
            try:
                scores = [
                    _scores(call(function, arguments), count=len(rows))
                    for function, arguments in zip(program["calls"], wanted, strict=True)
                ]
            except WrongCountError as error:  # not retried row by row: for one row the same list might look right
                return [_error_frame(str(error), ms=_ms_since(start) / len(rows))] * len(rows)
            ms, text = _ms_since(start) / len(rows), capture.text()
            return [
                _value_frame(_summed(row), ms=ms, stdout=text, extra_keys=False) for row in zip(*scores, strict=True)
            ]

        yield from guarded(lines, work)

    return batched if program["batched"] else one_by_one


class WrongCountError(GradeError):
    """The number of scores that a batch function returned is not that of the completions."""


def _scores(returned: object, *, count: int) -> Sequence[object]:
    """Return one score per completion, from a list, a tuple, a numpy array or an iterator."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(returned) is numpy.ndarray:
        returned = returned.tolist()  # type: ignore[attr-defined]
    elif hasattr(type(returned), "__next__"):
        returned = list(itertools.islice(returned, count + 1))  # type: ignore[call-overload]
    if type(returned) not in (list, tuple):
        raise WrongCountError(
            f"the verifier returned {_type_name(type(returned))} for {count} completions; "
            "expected a list with one score each"
        )
    scores: Sequence[object] = returned  # type: ignore[assignment]
    if len(scores) != count:
        raise WrongCountError(
            f"the verifier returned {len(scores)} scores for {count} completions; expected a list with one score each"
        )
    return scores


def _summed(scores: Sequence[object]) -> object:
    """Add up the scores that several functions gave a completion; None if all abstained."""
    if len(scores) == 1:
        return scores[0]
    given = [finite(score, what="the verifier returned") for score in scores if score is not None]
    return sum(given) if given else None


def _arguments(arguments: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return arguments()
    except values.MissingValueError as error:
        raise GradeError(str(error)) from None


def _columns(function: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, chat: bool) -> dict[str, list[Any]]:
    """Build lists with one value per row: named parameters, requested columns, and with `**` all other columns."""
    columns = function["columns"]
    arguments = {
        name: [values.value(key, row, chat=chat) for row in rows] for name, key in function["arguments"].items()
    }
    for name in columns["required"]:
        arguments[name] = [values.column(name, row, required=True) for row in rows]
    others = set(columns["optional"])
    if columns["every"]:
        others |= {name for row in rows for name in row["item"]} - {"prompt", "completion", "prompts", "completions"}
    for name in sorted(others - set(arguments)):
        found = [values.column(name, row, required=False) for row in rows]
        if any(value is not None for value in found):
            arguments[name] = found
    return arguments


def seed(number: int) -> None:
    """Seed `random`, and numpy's global generator if numpy is loaded."""
    random.seed(number)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(number)


def _value_frame(value: object, *, ms: float, stdout: str, extra_keys: bool) -> bytes:
    if type(value) is dict:
        return _object_frame(_with_components(value) if extra_keys else value, ms=ms, stdout=stdout)
    if value is None:
        return _frame(score=None, status="abstain", ms=ms, stdout=stdout)
    score = finite(value, what="the verifier returned")
    return _frame(score=score, status="ok", ms=ms, stdout=stdout) if stdout else frames.number(score, ms=ms)


def _with_components(value: dict[object, object]) -> dict[object, object]:
    """Convert verl's `{"score": number, "acc": ..., "pred": ...}`: other numbers become components, no more."""
    components_by_name: dict[object, object] = {
        name: number
        for name, number in value.items()
        if type(name) is str and name != "score" and type(number) in (int, float, bool)
    }
    return {"score": value["score"], "components": components_by_name} if "score" in value else value


def _object_frame(value: dict[object, object], *, ms: float, stdout: str) -> bytes:
    """Encode a result `{"score": number or None, "components": {name: number}, "reason": text}`."""
    unknown = [key for key in value if type(key) is not str or key not in ("score", "components", "reason")]
    if unknown or "score" not in value:
        raise GradeError("a returned dict must contain 'score', and may contain only 'components' and 'reason' besides")
    components, reason = value.get("components", {}), value.get("reason")
    if type(components) is not dict or len(components) > COMPONENTS:
        raise GradeError(f"'components' must be a dict of at most {COMPONENTS} numbers")
    if reason is not None and type(reason) is not str:
        raise GradeError("'reason' must be a string")
    components_by_name: dict[str, float] = {}
    for name, component in components.items():
        if type(name) is not str or len(name) > COMPONENT_NAME_CHARS:
            raise GradeError(f"names in 'components' must be strings of at most {COMPONENT_NAME_CHARS} characters")
        components_by_name[name] = finite(component, what=f"the component '{name}' is")
    raw = value["score"]
    score = None if raw is None else finite(raw, what="'score' is")
    status = "abstain" if score is None else "ok"
    return _frame(score=score, status=status, reason=reason, components=components_by_name, ms=ms, stdout=stdout)


_float, _int, _type, _issubclass, _isfinite = float, int, type, issubclass, math.isfinite
"""Bound here, where no verifier can replace them."""


def finite(value: object, *, what: str) -> float:
    """Convert to Python's own float, reading the stored value and not what a subclass's methods return."""
    kind = _type(value)
    if _issubclass(kind, _int):
        try:
            score = _float(_int.__int__(value))  # type: ignore[arg-type]
        except OverflowError as error:
            raise GradeError(f"{what} an integer too large for a score") from error
    elif _issubclass(kind, _float):
        score = _float.__float__(value)  # type: ignore[arg-type]
    elif kind is Decimal or kind is Fraction or _is_numpy_scalar(kind):
        try:
            score = _float(value)  # type: ignore[arg-type]
        except (OverflowError, ValueError) as error:
            raise GradeError(f"{what} {value!s:.60}, which is no score") from error
    else:
        raise GradeError(f"{what} {_type_name(kind)}, not a number")
    if not _isfinite(score):
        raise GradeError(f"{what} {score}, which is not a finite number")
    return score


def _is_numpy_scalar(kind: type) -> bool:
    """Whether it is one of numpy's own number or bool types, such as `numpy.float32`, and not a user's subclass."""
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
            "reason": reason if reason is None else truncate(reason, REASON_CHARS),
            "components": components or {},
            "ms": ms,
            "stdout": stdout,
        }
    )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
