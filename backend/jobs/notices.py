"""Notices about how a job request was interpreted: the job's first events, and part of its estimate."""

from dataclasses import dataclass

from backend.verifiers.reading import remarks
from backend.verifiers.specs import Spec


@dataclass(frozen=True, slots=True)
class Notice:
    """A default that was chosen, or a setting without effect here. `code` and `level` are those of an event."""

    code: str
    level: str
    message: str


def grader_notices(spec: Spec) -> tuple[Notice, ...]:
    return tuple(Notice("grader_remark", "info", remark) for remark in remarks(spec))
