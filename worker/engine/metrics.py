# ruff: noqa: N815 - fields carry their tensor's shape
"""Owns the numbers of a step (RLSD.md section 4) and the rows of its rollouts, made from what the step computed.

Names end in their unit where they have one (`_s`, `_tokens`, `_bytes`); shares lie in [0, 1]. `positive` and `negative`
speak of the sign of the sequence's advantage. Numbers about credit are counted only where the advantage is not 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.advantage import dead_groups
from worker.engine.policy import Policy
from worker.engine.report import SPEAKS_OF_REFERENCE, RolloutReport, Stopwatch, TokenReport, peak_memory_bytes
from worker.engine.reward import Scored
from worker.engine.rollout import Rollouts
from worker.engine.update import Update

RIGHT_ABOVE = 0.5
"""A group with equal rewards counts as all right above this score and as all wrong otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """Everything a step computed that its report is made of."""

    rollouts: Rollouts
    scored: Scored
    advantages_B: Tensor
    teacher_logps_BT: Tensor | None
    update: Update
    lam: float
    learning_rate: float
    teacher_tokens: int
    base_logps_BT: Tensor
    """log-probabilities under the base for the sampled share of rollouts; NaN for the others."""
    watch: Stopwatch


def step_metrics(facts: StepFacts) -> dict[str, float]:
    """The named numbers of a step; what is undefined in it (a mean of nothing) is left out."""
    found = _outcome(facts) | _completions(facts) | _credit(facts) | _cost(facts)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _outcome(facts: StepFacts) -> dict[str, float]:
    scored, rewards_B = facts.scored, facts.scored.rewards_B
    rewards_PG = rewards_B.view(-1, facts.rollouts.num_generations)
    dead_P = dead_groups(rewards_PG)
    right_P = dead_P & (rewards_PG.nanmean(1) > RIGHT_ABOVE)
    wrong_P = dead_P & (rewards_PG.nanmean(1) <= RIGHT_ABOVE)
    known = rewards_B[~rewards_B.isnan()]
    return {
        "reward_mean": _mean(known),
        "reward_std": known.std().item() if len(known) > 1 else math.nan,
        "groups_all_right": _mean(right_P),
        "groups_all_wrong": _mean(wrong_P),
        "groups_mixed": _mean(~dead_P),
        "abstained": scored.share("abstain"),
        "errored": scored.share("error"),
        "timed_out": scored.share("timeout"),
    }


def _completions(facts: StepFacts) -> dict[str, float]:
    rollouts = facts.rollouts
    mask_BT, lengths_B = rollouts.mask_BT, rollouts.lengths_B
    sampled_BT = rollouts.sampling_logps_BT
    seen_BT = mask_BT & ~facts.base_logps_BT.isnan()
    log_ratio = (facts.base_logps_BT - sampled_BT)[seen_BT].double()
    trained_BT = mask_BT & ~facts.update.logps_BT.isnan()
    return {
        "truncated": _mean(rollouts.truncated_B),
        "completion_tokens_mean": _mean(lengths_B),
        "completion_tokens_max": float(lengths_B.max()),
        "entropy": _mean(-sampled_BT[mask_BT]),
        "kl_to_start": _mean(log_ratio.expm1() - log_ratio),  # an estimate that is never negative
        "rollout_logp_gap_mean": _mean((facts.update.logps_BT - sampled_BT)[trained_BT].abs()),
        "leakage": sum(bool(SPEAKS_OF_REFERENCE.search(text)) for text in rollouts.texts) / rollouts.num_sequences,
    }


def _credit(facts: StepFacts) -> dict[str, float]:
    credit, mask_BT = facts.update.credit, facts.rollouts.mask_BT
    advantages_B = facts.advantages_B.to(mask_BT.device)
    live_BT = mask_BT & (advantages_B != 0)[:, None]
    found = {
        "lambda": facts.lam,
        "skipped": _mean(advantages_B == 0),
        "ratio_clipped": _mean(facts.update.ratio_clipped_BT[live_BT]),
        "loss": facts.update.loss,
        "gradient_norm": facts.update.gradient_norm,
        "learning_rate": facts.learning_rate,
    }
    if facts.teacher_logps_BT is None:
        return found
    found["clipped_low"] = _mean(credit.clipped_BT[live_BT] < 0)
    found["clipped_high"] = _mean(credit.clipped_BT[live_BT] > 0)
    for name, chosen_B in (("positive", advantages_B > 0), ("negative", advantages_B < 0)):
        chosen_BT = mask_BT & chosen_B[:, None]
        found[f"delta_mean_{name}"] = _mean(credit.deltas_BT[chosen_BT])
        found[f"weight_mean_{name}"] = _mean(credit.weights_BT[chosen_BT])
        found[f"delta_sum_{name}"] = _mean(credit.deltas_BT.sum(1)[chosen_B])
    return found


def _cost(facts: StepFacts) -> dict[str, float]:
    rollouts, seconds = facts.rollouts, facts.watch.seconds
    prompt_tokens = sum(len(prompt.student_ids) for prompt in rollouts.prompts)
    return {f"{phase}_s": value for phase, value in seconds.items()} | {
        "step_s": sum(seconds.values()),
        "rollout_tokens": float(prompt_tokens + int(rollouts.mask_BT.sum())),
        "teacher_tokens": float(facts.teacher_tokens),
        "update_tokens": float(facts.update.num_tokens),
        "peak_memory_bytes": peak_memory_bytes(facts.watch.device),
    }


def _mean(values: Tensor) -> float:
    """NaN for no values."""
    return values.double().mean().item()


def rollout_reports(facts: StepFacts, *, policy: Policy, with_tokens: Sequence[int]) -> list[RolloutReport]:
    """One report a rollout, `[B]`; those named in `with_tokens` with the numbers of each token."""
    rollouts, kept = facts.rollouts, frozenset(with_tokens)
    advantages, truncated = facts.advantages_B.tolist(), rollouts.truncated_B.tolist()
    return [
        RolloutReport(
            row=rollouts.prompt_of(b).task.row,
            sample=b % rollouts.num_generations,
            completion=text,
            record=facts.scored.records[b],
            advantage=advantages[b],
            truncated=truncated[b],
            tokens=_token_report(facts, policy=policy, sequence=b) if b in kept else None,
        )
        for b, text in enumerate(rollouts.texts)
    ]


def _token_report(facts: StepFacts, *, policy: Policy, sequence: int) -> TokenReport:
    rollouts, credit, row = facts.rollouts, facts.update.credit, sequence
    length = int(rollouts.lengths_B[row])
    ids: list[int] = rollouts.completion_ids_BT[row, :length].tolist()
    trained = not bool(facts.update.logps_BT[row].isnan().any())
    student_T = facts.update.logps_BT[row] if trained else rollouts.sampling_logps_BT[row]
    teacher_T = None if facts.teacher_logps_BT is None or not trained else facts.teacher_logps_BT[row]
    return TokenReport(
        ids=ids,
        text=policy.tokenizer.batch_decode([[token] for token in ids]),
        logp_student=student_T[:length].tolist(),
        logp_teacher=None if teacher_T is None else teacher_T[:length].tolist(),
        weight=credit.weights_BT[row, :length].tolist(),
        advantage=credit.advantages_BT[row, :length].tolist(),
    )


def sampled_share(num_sequences: int, *, share: float, generator: torch.Generator) -> list[int]:
    """Which rollouts keep their per-token numbers: this share, rounded, and at least one unless it is 0."""
    count = max(1, round(share * num_sequences)) if share > 0 else 0
    return sorted(torch.randperm(num_sequences, generator=generator)[:count].tolist())
