"""Objects in the result of a self-check. It is stored as JSON; results of earlier releases lack what has a default."""

from pydantic import BaseModel

from backend.verifiers.record import ScoreStatus


class ReferenceReading(BaseModel):
    """A reference as a grader (by its name in a `multi`) reads it: `read` is None if it cannot, `lost` left out."""

    grader: str
    reference: str
    read: str | None
    lost: str


class AlteredAnswer(BaseModel):
    """An altered right answer: the `text` that gave it, its score, and whether that is the full score.

    `tolerated`: the full score went to a number nearby, which a tolerance may accept; then it is not `full`.
    """

    row: int
    change: str
    label: str
    reference: str
    altered: str
    text: str
    score: float | None
    status: ScoreStatus
    full: bool
    tolerated: bool = False
