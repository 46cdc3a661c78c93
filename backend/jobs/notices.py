"""What the maker of a job has to know of how it was understood: the job's first events, and part of its estimate."""

from dataclasses import dataclass

from backend.verifiers.reading import remarks
from backend.verifiers.specs import Spec


@dataclass(frozen=True, slots=True)
class Notice:
    """Where the request left something open, or said what changes nothing here. `code` and `level` are an event's."""

    code: str
    level: str
    message: str


def of_grader(spec: Spec) -> tuple[Notice, ...]:
    return tuple(Notice("grader_remark", "info", remark) for remark in remarks(spec))
