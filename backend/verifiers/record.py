"""Result of one call of a verifier.

An error is not a zero: only `ok` has a score. Aggregations exclude the other three statuses and count them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

FORMULA_FAULT = "calculate_output: "
"""Prefix of the reason if the formula of a `multi` has no value for the scores."""


OUT_OF_RANGE = "out of range: "
"""Prefix of the reason if a score is beyond the verifier's range."""
ROUNDING = 1e-9
"""Deviation by which a sum of floats may miss the end of a range."""


class ScoreStatus(StrEnum):
    OK = "ok"
    """The verifier returned a number."""
    ABSTAIN = "abstain"
    """The verifier returned None: it does not judge this completion."""
    ERROR = "error"
    """The verifier failed: an exception, a score that is not finite or out of range, a lost process, a missing path."""
    TIMEOUT = "timeout"
    """The verifier was stopped at its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """`score` is finite exactly if `status` is ok; `ms` is wall time inside the sandbox (the deadline for a timeout).

    `reason` explains a missing score, or comments on the score (tracebacks contain only the author's lines). `stdout`
    is the truncated output of the verifier.
    """

    score: float | None
    status: ScoreStatus
    reason: str | None = None
    components: dict[str, float] = field(default_factory=dict)
    ms: float = 0.0
    stdout: str = ""

    def __post_init__(self) -> None:
        has_score = self.score is not None and math.isfinite(self.score)
        if has_score != (self.status is ScoreStatus.OK) or (self.score is not None and not has_score):
            raise ValueError(f"a record with status {self.status.value} cannot have the score {self.score}")

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON; `stdout` is included only if something was printed."""
        record: dict[str, Any] = {
            "score": self.score,
            "status": self.status.value,
            "reason": self.reason,
            "components": dict(self.components),
            "ms": round(self.ms, 3),
        }
        return record | {"stdout": self.stdout} if self.stdout else record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "ScoreRecord":
        return cls(
            score=record["score"],
            status=ScoreStatus(record["status"]),
            reason=record.get("reason"),
            components=dict(record.get("components") or {}),
            ms=float(record.get("ms", 0.0)),
            stdout=record.get("stdout", ""),
        )

    def held_to(self, bounds: tuple[float, float]) -> "ScoreRecord":
        """Return an error if the score is beyond these bounds; one that misses an end by rounding becomes that end."""
        if self.score is None or bounds[0] <= self.score <= bounds[1]:
            return self
        nearest = min(max(self.score, bounds[0]), bounds[1])
        if math.isclose(self.score, nearest, rel_tol=ROUNDING, abs_tol=ROUNDING):
            return replace(self, score=nearest)
        reason = (
            f"{OUT_OF_RANGE}the score {self.score:.12g} is not within {bounds[0]:g} to {bounds[1]:g}: return a score "
            "within the verifier's range, or change that range"
        )
        return replace(self, score=None, status=ScoreStatus.ERROR, reason=reason)

    def counted_as_zero(self) -> "ScoreRecord":
        """Return an error or timeout as a score of 0 with its reason, as in OpenAI's API; others are unchanged."""
        if self.status not in (ScoreStatus.ERROR, ScoreStatus.TIMEOUT):
            return self
        reason = f"{self.status.value} counted as 0: {self.reason or 'no reason given'}"
        return replace(self, score=0.0, status=ScoreStatus.OK, reason=reason)


def error_record(reason: str, *, ms: float = 0.0, stdout: str = "") -> ScoreRecord:
    return ScoreRecord(score=None, status=ScoreStatus.ERROR, reason=reason, ms=ms, stdout=stdout)
