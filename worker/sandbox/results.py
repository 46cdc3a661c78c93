"""Outside: decodes a frame of an untrusted process into a score record, or raises FrameError."""

import json
import math
from typing import Any

from backend.core.storable import storable
from backend.verifiers.record import ScoreRecord, ScoreStatus
from worker.sandbox import frames
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS, STDOUT_CHARS

_FROM_INSIDE = {status.value: status for status in (ScoreStatus.OK, ScoreStatus.ABSTAIN, ScoreStatus.ERROR)}


def decode(kind: bytes, body: bytes) -> ScoreRecord:
    if kind == frames.NUMBER and len(body) == frames.NUMBER_BODY.size:
        score, ms = frames.NUMBER_BODY.unpack(body)
        return ScoreRecord(score=_number(score), status=ScoreStatus.OK, ms=_milliseconds(ms))
    if kind != frames.RECORD:
        raise frames.FrameError(f"a frame of unknown kind {kind!r}")
    try:
        fields = json.loads(body)
        return _record(fields)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise frames.FrameError(f"a record that cannot be read ({type(error).__name__})") from error


def _record(fields: dict[str, Any]) -> ScoreRecord:
    components = fields["components"]
    if len(components) > COMPONENTS:
        raise ValueError("too many components")
    reason = fields["reason"]
    return ScoreRecord(
        score=None if fields["score"] is None else _number(fields["score"]),
        status=_FROM_INSIDE[fields["status"]],
        reason=None if reason is None else _text(reason, limit=REASON_CHARS),
        components={_text(name, limit=COMPONENT_NAME_CHARS): _number(value) for name, value in components.items()},
        ms=_milliseconds(fields["ms"]),
        stdout=_text(fields["stdout"], limit=STDOUT_CHARS),
    )


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise frames.FrameError("a score that is not a finite number")
    return float(value)  # type: ignore[arg-type]


def _milliseconds(value: object) -> float:
    return min(max(0.0, _number(value)), 1e9)


def _text(value: object, *, limit: int) -> str:
    """Truncate the text to what can be stored."""
    if type(value) is not str:
        raise TypeError("not a text")
    return str(storable(value[:limit]))
