"""Inside: what a verifier returned as frames, and frames of errors."""

import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from time import perf_counter
from typing import Any

from worker.sandbox import frames
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS
from worker.sandbox.scorers import GradeError
from worker.sandbox.shown import truncate

FATAL_ERRORS = (MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit)
"""Errors after which the interpreter's state is doubtful, or that try to end it: the process exits after the row."""


class FaultyRow(Exception):  # noqa: N818 - carries a result
    """A row with its frame, after which this process must grade no further row."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self.frame = frame


class CallFailed(Exception):  # noqa: N818 - no fault of ours
    """A call for several rows returned no scores: grade each row alone."""


class TakesNoBatch(CallFailed):
    """What is called takes one completion."""


class WrongCountError(GradeError):
    """The number of scores that a batch function returned is not that of the completions."""


def scores_of(returned: object, *, count: int) -> Sequence[object]:
    """Return one score per completion, from a list, a tuple or a numpy array, or such `rewards` of OpenRLHF."""
    if type(returned) is dict and "rewards" in returned:
        returned = returned["rewards"]
    array = _array(returned)
    returned = returned if array is None else array.tolist()
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


def summed(scores: Sequence[object]) -> object:
    """Add up the scores that several functions gave a completion; None if all abstained."""
    if len(scores) == 1:
        return scores[0]
    given = [finite(score, what="the verifier returned") for score in scores if score is not None]
    return sum(given) if given else None


def value_frame(value: object, *, ms: float, stdout: str, score_key: str | None) -> bytes:
    if type(value) is dict:
        return _object_frame(_with_components(value, score_key=score_key) if score_key else value, ms=ms, stdout=stdout)
    if value is None:
        return frame(score=None, status="abstain", ms=ms, stdout=stdout)
    score = finite(value, what="the verifier returned")
    return frame(score=score, status="ok", ms=ms, stdout=stdout) if stdout else frames.number(score, ms=ms)


def _with_components(value: dict[object, object], *, score_key: str) -> dict[object, object]:
    """Convert `{"score": number, "acc": ..., "pred": ...}`: other numbers become components, no more."""
    components_by_name: dict[object, object] = {
        name: number
        for name, number in value.items()
        if type(name) is str and name != score_key and type(number) in (int, float, bool)
    }
    return {"score": value[score_key], "components": components_by_name} if score_key in value else value


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
    return frame(score=score, status=status, reason=reason, components=components_by_name, ms=ms, stdout=stdout)


def finite(value: object, *, what: str) -> float:
    """Convert to Python's own float, reading the stored value and not what a subclass's methods return."""
    array = _array(value)
    if array is not None and array.ndim == 0:
        value = array.item()
    kind = type(value)
    try:
        if issubclass(kind, int):
            score = float(int.__int__(value))  # type: ignore[arg-type]
        elif issubclass(kind, float):
            score = float.__float__(value)  # type: ignore[arg-type]
        elif kind is Decimal or kind is Fraction or _is_numpy_scalar(kind):
            score = float(value)  # type: ignore[arg-type]
        else:
            raise GradeError(f"{what} {_type_name(kind)}, not a number")
    except OverflowError as error:
        raise GradeError(f"{what} a number too large for a score") from error
    except ValueError as error:
        raise GradeError(f"{what} {value!s:.60}, which is no score") from error
    if not isfinite(score):
        raise GradeError(f"{what} {score}, which is not a finite number")
    return score


def _array(value: object) -> Any:
    """Return the value if it is numpy's array, else None."""
    numpy = sys.modules.get("numpy")
    return value if numpy is not None and type(value) is numpy.ndarray else None


def _is_numpy_scalar(kind: type) -> bool:
    """Whether it is one of numpy's own real or bool types, such as `numpy.float32`, and not a user's subclass."""
    numpy = sys.modules.get("numpy")
    if numpy is None or kind.__module__ != "numpy":
        return False
    return issubclass(kind, numpy.integer | numpy.floating | numpy.bool_)


def _type_name(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return f"a value of type {name[:100]}"


def error_frame(reason: str, *, ms: float, stdout: str = "") -> bytes:
    return frame(score=None, status="error", reason=reason, ms=ms, stdout=stdout)


def frame(
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


def ms_since(start: float) -> float:
    return (perf_counter() - start) * 1000
