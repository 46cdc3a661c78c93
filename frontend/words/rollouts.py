"""What became of a completion, in words; and the filters of the Completions part as the API takes them. Pure.

Right and wrong are told apart here for every page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frontend.api.types import Job, Rollout, ScoreRecord
from frontend.api.types_runs import RolloutFilters

Scope = Literal["newest", "one", "all"]
Color = Literal["green", "red", "orange", "gray"]


@dataclass(frozen=True, slots=True)
class OutcomeLook:
    label: str
    color: Color
    icon: str


OUTCOMES = {
    "right": OutcomeLook("right", "green", ":material/check:"),
    "wrong": OutcomeLook("wrong", "red", ":material/close:"),
    "fault": OutcomeLook("verifier fault", "orange", ":material/error:"),
    "abstain": OutcomeLook("not judged", "gray", ":material/do_not_disturb_on:"),
}
"""By the API's `outcome`."""
SUCCESS_ABOVE = 0.5
"""The score above which a text is right where no job says another: the default of a job's `success_above`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutQuery:
    """Which completions are to be shown; `step` belongs to the scope `one`, or is the newest."""

    scope: Scope
    step: int | None
    row: int | None
    outcomes: tuple[str, ...]
    mixed: bool
    with_tokens: bool
    search: str

    @property
    def filters(self) -> RolloutFilters:
        said: RolloutFilters = {}
        if self.scope != "all" and self.step is not None:
            said["step"] = self.step
        if self.row is not None:
            said["row"] = self.row
        if self.outcomes:
            said["outcome"] = list(self.outcomes)
        if self.mixed:
            said["mixed"] = True
        if self.with_tokens:
            said["with_tokens"] = True
        if self.search.strip():
            said["search"] = self.search.strip()
        return said

    @property
    def narrowed(self) -> bool:
        """Whether something other than the step leaves completions out."""
        return bool(set(self.filters) - {"step"})


def success_above(job: Job | None) -> float:
    """The score above which this job calls a completion right; where there is none, what jobs do that do not say."""
    if job is None:
        return SUCCESS_ABOVE
    return float(job["method"]["reinforcement"]["x_rlsd"]["success_above"])


def verdict_on(score: float, *, above: float) -> str:
    """`right` or `wrong`."""
    return "right" if score > above else "wrong"


def right_is(above: float) -> str:
    """What counts as right, for the help of a score."""
    return f"Right is a score above {above:g}."


def outcome_of(record: ScoreRecord, *, above: float) -> str:
    if record["status"] in ("error", "timeout"):
        return "fault"
    if record["score"] is None:
        return "abstain"
    return verdict_on(record["score"], above=above)


def tally(group: Sequence[Rollout], *, above: float) -> str:
    """`5 right, 2 wrong, 1 verifier fault`."""
    found = [outcome_of(rollout["record"], above=above) for rollout in group]
    return ", ".join(f"{found.count(name)} {look.label}" for name, look in OUTCOMES.items() if name in found)


def credit_in_words(rollout: Rollout) -> str:
    """What the advantage of a completion means for the update."""
    advantage = rollout["advantage"]
    if advantage == 0:
        return "nothing to learn: its group all scored the same"
    return f"better than its group ({advantage:+.2f})" if advantage > 0 else f"worse than its group ({advantage:+.2f})"
