"""Owns the call of the reward: completions in, scores with their gaps out.

A completion without a score (abstain, error, timeout) is NaN here and leaves the group statistics; an error is never
a zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.types import Completion, Reward, Score

FAULTS = ("error", "timeout")
"""Statuses that tell of a broken verifier; an abstention is a verdict of a working one."""


class VerifierFaults(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """Too many completions could not be scored."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The verdicts on the completions of a step."""

    records: tuple[Score, ...]
    rewards_B: Tensor
    """float64; NaN where there is no score."""

    def share(self, *statuses: str) -> float:
        """Share of completions with one of these statuses."""
        return sum(record.status in statuses for record in self.records) / len(self.records)

    def with_groups_replaced(self, others: "Scored", *, places: Sequence[int], num_generations: int) -> "Scored":
        """These verdicts with the groups at `places` replaced by the others', in order."""
        records, rewards_B = list(self.records), self.rewards_B.clone()
        for source, place in enumerate(places):
            here = slice(place * num_generations, (place + 1) * num_generations)
            there = slice(source * num_generations, (source + 1) * num_generations)
            records[here], rewards_B[here] = others.records[there], others.rewards_B[there]
        return Scored(tuple(records), rewards_B)

    @property
    def fault_share(self) -> float:
        """Share of completions that could not be scored because of the verifier."""
        return self.share(*FAULTS)

    @property
    def first_fault(self) -> str:
        """Why the first of them failed; empty without one."""
        return next((record.reason or record.status for record in self.records if record.status in FAULTS), "")


def score_completions(reward: Reward, completions: Sequence[Completion]) -> Scored:
    """Ask the reward. ValueError when it answers another number of scores or a score that is no number."""
    records = tuple(reward(completions))
    if len(records) != len(completions):
        raise ValueError(f"the reward answered {len(records)} scores for {len(completions)} completions")
    return Scored(records, torch.tensor([_value(record) for record in records], dtype=torch.float64))


def all_scored(parts: Sequence[Scored]) -> Scored:
    """The verdicts on the parts of a batch, in order, as one."""
    records = tuple(record for part in parts for record in part.records)
    return Scored(records, torch.cat([torch.zeros(0, dtype=torch.float64), *(part.rewards_B for part in parts)]))


def _value(record: Score) -> float:
    if record.status != "ok":
        return math.nan
    if record.score is None or not math.isfinite(record.score):
        raise ValueError(f"the reward answered the status ok with the score {record.score}")
    return record.score


def trust(fault_share: float, *, first_fault: str, limit: float) -> None:
    """VerifierFaults when more than this share of completions could not be scored."""
    if fault_share > limit:
        raise VerifierFaults(
            f"{fault_share:.0%} of the completions could not be scored, more than max_error_share = {limit:.0%}; "
            f"the first: {first_fault}"
        )
