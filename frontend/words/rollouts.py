"""Outcomes of completions in words, and the filters of the Completions tab as the API takes them. Pure.

All pages use this definition of right and wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frontend.api.types import JobObject, ListRolloutsQuery, Outcome, RolloutObject, ScoreRecordObject

Scope = Literal["newest", "one", "all"]
Color = Literal["green", "red", "orange", "gray"]


@dataclass(frozen=True, slots=True)
class OutcomeLook:
    label: str
    color: Color
    icon: str


OUTCOMES: dict[Outcome, OutcomeLook] = {
    "right": OutcomeLook("right", "green", ":material/check:"),
    "wrong": OutcomeLook("wrong", "red", ":material/close:"),
    "fault": OutcomeLook("verifier error", "orange", ":material/error:"),
    "abstain": OutcomeLook("not judged", "gray", ":material/do_not_disturb_on:"),
}
"""Outcomes by the API's `outcome`."""
SUCCESS_ABOVE = 0.5
"""The score above which a text is right if no job sets another: the default of a job's `success_above`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutQuery:
    """Which completions to show. `step`: of the scope `one`, otherwise the newest."""

    scope: Scope
    step: int | None
    row: int | None
    practice: bool
    outcomes: tuple[Outcome, ...]
    mixed: bool
    with_tokens: bool
    search: str

    @property
    def filters(self) -> ListRolloutsQuery:
        sent: ListRolloutsQuery = {}
        if self.scope != "all" and self.step is not None:
            sent["step"] = self.step
        if self.row is not None:
            sent["row"] = self.row
        if self.practice:
            sent["practice"] = True
        if self.outcomes:
            sent["outcome"] = list(self.outcomes)
        if self.mixed:
            sent["mixed"] = True
        if self.with_tokens:
            sent["with_tokens"] = True
        if self.search.strip():
            sent["search"] = self.search.strip()
        return sent

    @property
    def narrowed(self) -> bool:
        """Whether filters other than the step exclude completions."""
        return bool(set(self.filters) - {"step", "practice"})


def success_above(job: JobObject | None) -> float:
    """Return the score above which a completion of this job is right; the default if there is no job."""
    if job is None:
        return SUCCESS_ABOVE
    return float(job["method"]["reinforcement"]["x_rlsd"]["success_above"])


def practises(job: JobObject) -> bool:
    """Return whether the job samples failed questions again with a hint."""
    return job["method"]["reinforcement"]["x_rlsd"].get("practice") is not None


def verdict_on(score: float, *, above: float) -> Outcome:
    """Return `right` or `wrong`."""
    return "right" if score > above else "wrong"


def right_is(above: float) -> str:
    """Explain what counts as right, as the help of a score."""
    return f"A score above {above:g} counts as right."


def outcome_of(record: ScoreRecordObject, *, above: float) -> Outcome:
    if record["status"] in ("error", "timeout"):
        return "fault"
    if record["score"] is None:
        return "abstain"
    return verdict_on(record["score"], above=above)


def tally(group: Sequence[RolloutObject], *, above: float) -> str:
    """Count outcomes: `5 right, 2 wrong, 1 verifier error`."""
    found = [outcome_of(rollout["record"], above=above) for rollout in group]
    return ", ".join(f"{found.count(name)} {look.label}" for name, look in OUTCOMES.items() if name in found)


def credit_in_words(rollout: RolloutObject, *, practises: bool) -> str:
    """Describe what a completion's advantage means for the update. `practises`: of the job."""
    advantage = rollout["advantage"]
    if advantage == 0:
        same = "no signal: its whole group scored the same"
        return f"{same}, or its question was practised" if practises and rollout["hint"] is None else same
    return f"better than its group ({advantage:+.2f})" if advantage > 0 else f"worse than its group ({advantage:+.2f})"
