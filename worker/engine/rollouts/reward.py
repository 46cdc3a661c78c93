"""Scoring completions with the reward function.

A completion without a score (abstain, error, timeout) is NaN here and is left out of group statistics; an error is
never a zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.methods.advantages import dead_groups
from worker.engine.types import Completion, Reward, Score

FAULT_STATUSES = ("error", "timeout")
"""Statuses of a failing verifier; an abstention is a result of a working one."""


MAX_REWARD = 1e6
"""Largest magnitude of a reward: advantages of such rewards are finite in float32, also without division by std."""


class VerifierFaults(Exception):  # noqa: N818 - a way a run ends, not a programming error
    """Too many completions could not be scored."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Score records and rewards of completions."""

    records: tuple[Score, ...]
    rewards_B: Tensor
    """float64; NaN where there is no score."""

    def share(self, *statuses: str) -> float:
        """Return the share of completions with one of these statuses."""
        return sum(record.status in statuses for record in self.records) / len(self.records)

    def groups(self, chosen: Sequence[int], *, num_generations: int) -> "Scored":
        """Return the scores of these groups, in this order."""
        rows = rows_of_groups(chosen, num_generations=num_generations)
        return Scored(tuple(self.records[b] for b in rows), self.rewards_B[rows])

    def values_KB(self, weights: Mapping[str, float]) -> Tensor:
        """Return what groups are compared by, `[K, B]` float64: the components with a weight, or else the scores.

        A completion without a score is NaN. A component that a score lacks, because its error counts as 0, is 0.
        """
        if not weights:
            return self.rewards_B[None]
        parts_KB = [[record.components.get(name, 0.0) for record in self.records] for name in weights]
        return torch.tensor(parts_KB, dtype=torch.float64).where(~self.rewards_B.isnan(), torch.nan)

    def dead_groups(self, weights: Mapping[str, float], *, num_generations: int) -> Tensor:
        """Return a mask of the groups whose completions cannot be told apart by any of these values, `[P]`."""
        values_KB = self.values_KB(weights)
        return torch.stack([dead_groups(values_B.view(-1, num_generations)) for values_B in values_KB]).all(0)

    @property
    def fault_share(self) -> float:
        """Share of completions that could not be scored because of the verifier."""
        return self.share(*FAULT_STATUSES)

    @property
    def first_fault(self) -> str:
        """Reason of the first such failure; empty without one."""
        return next((record.reason or record.status for record in self.records if record.status in FAULT_STATUSES), "")


def score_of(record: Score) -> float | None:
    """Return the score; None where the verifier gave none."""
    return record.score if record.status == "ok" else None


def rows_of_groups(groups: Sequence[int], *, num_generations: int) -> list[int]:
    """Return the sequences of these groups, in order."""
    return [group * num_generations + sample for group in groups for sample in range(num_generations)]


def score_completions(reward: Reward, completions: Sequence[Completion]) -> Scored:
    """Call the reward function. ValueError for a wrong number of scores, or a score that is not within MAX_REWARD."""
    records = tuple(reward(completions))
    if len(records) != len(completions):
        raise ValueError(f"the reward returned {len(records)} scores for {len(completions)} completions")
    return Scored(records, torch.tensor([_value(record) for record in records], dtype=torch.float64))


def overlong_penalties(lengths_B: Tensor, *, max_completion_tokens: int, buffer: int, factor: float) -> Tensor:
    """Compute what each completion loses of its reward because of its length in tokens, `[B]` float64, from 0.

    Minus `factor` times eq. 13 of DAPO (arXiv 2503.14476), whose `L_cache` is `buffer`; a completion is never longer
    than `L_max`.
    """
    excess_B = lengths_B.cpu().double() - (max_completion_tokens - buffer)
    return factor * (excess_B / buffer).clamp(min=0)


def concat_scored(parts: Sequence[Scored]) -> Scored:
    """Concatenate the scores of the parts of a batch, in order."""
    records = tuple(record for part in parts for record in part.records)
    return Scored(records, torch.cat([torch.zeros(0, dtype=torch.float64), *(part.rewards_B for part in parts)]))


def _value(record: Score) -> float:
    if record.status != "ok":
        return math.nan
    if record.score is None or not abs(record.score) <= MAX_REWARD:
        raise ValueError(f"the reward returned the status ok with the score {record.score}")
    return record.score


def check_fault_share(fault_share: float, *, first_fault: str, limit: float) -> None:
    """Raise VerifierFaults if more than this share of completions could not be scored."""
    if fault_share > limit:
        raise VerifierFaults(
            f"{fault_share:.0%} of the completions could not be scored, more than max_error_share = {limit:.0%}; "
            f"the first failure: {first_fault}"
        )
