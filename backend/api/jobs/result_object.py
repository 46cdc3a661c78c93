"""The result of a job, or of the model that it trained, as `x_result`."""

from typing import Any

from pydantic import BaseModel

from backend.core.outcome import Verdict
from backend.jobs.result import Result


class ScoreObject(BaseModel):
    """The mean score of `n` held-out questions, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class DifferenceObject(BaseModel):
    """The mean difference, paired by question, with its 95 % interval and the p-value of a sign-flip test."""

    mean: float
    low: float
    high: float
    p: float


class ResultObject(BaseModel):
    """What training changed on held-out questions: `base` before it, `warm` after a warm start, `trained` after it.
    `difference` is that of `trained` and `base`. What was not measured is None.
    """

    verdict: Verdict
    base: ScoreObject | None
    warm: ScoreObject | None
    trained: ScoreObject | None
    difference: DifferenceObject | None


def result_object(result: Result | None) -> ResultObject | None:
    if result is None:
        return None
    found = result.evaluations
    trained: dict[str, Any] = found.get("trained", {})
    return ResultObject(
        verdict=result.verdict,
        base=_score(found.get("baseline")),
        warm=_score(found.get("warm")),
        trained=_score(found.get("trained")),
        difference=None
        if trained.get("difference") is None
        else DifferenceObject(**trained["difference"], p=trained["p_value"]),
    )


def _score(evaluation: dict[str, Any] | None) -> ScoreObject | None:
    return None if evaluation is None else ScoreObject.model_validate(evaluation)
