"""Owns the numbers of a step (RLSD.md section 4) and the rows of its rollouts, made from what the step computed.

Names end in their unit where they have one (`_s`, `_tokens`, `_bytes`); shares lie in [0, 1]. `positive` and `negative`
speak of the sign of the sequence's advantage, `right` and `wrong` of its score. Numbers about credit are counted only
in sequences that had a signal, and deltas only where the teacher was heard.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.measure import Stopwatch, peak_memory_bytes
from worker.engine.methods.advantages import dead_groups
from worker.engine.methods.base import Method
from worker.engine.model.policy import Policy
from worker.engine.observer import RolloutReport, TokenReport
from worker.engine.rollouts.collect import RolloutBatch
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.teacher.contexts import TeacherContexts
from worker.engine.teacher.diagnostics import Diagnosis
from worker.engine.training.update import StepTensors, Update

SPEAKS_OF_REFERENCE = re.compile(
    r"\bhint\b|\banswer[ -]key\b|\b(reference|given|provided) (answer|solution)\b"
    r"|\baccording to the reference\b|\bthe reference( (says|states|gives|shows|tells)\b| *([.,:;]|$))|^ *reference *:",
    re.IGNORECASE | re.MULTILINE,
)
"""Wording of a student that speaks of a reference it cannot see; not what it may well say unseen: a correct answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """Everything a step computed that its report is made of."""

    experience: RolloutBatch
    method: Method
    briefing: TeacherContexts | None
    """None where no teacher was asked."""
    signals: StepTensors
    live: Sequence[int]
    """Sequences that had a signal and were trained on."""
    update: Update
    lam: float
    learning_rate: float
    teacher_tokens: int
    success_above: float
    watch: Stopwatch

    @property
    def rollouts(self) -> Rollouts:
        return self.experience.rollouts

    @property
    def live_BT(self) -> Tensor:
        """Tokens that were trained on."""
        live_B = torch.zeros(self.rollouts.num_sequences, dtype=torch.bool)
        live_B[list(self.live)] = True
        return self.rollouts.mask_BT & live_B.to(self.rollouts.mask_BT.device)[:, None]

    @property
    def teacher_mask_BT(self) -> Tensor:
        """Those of them on which the teacher was heard."""
        return self.live_BT & self.signals.teacher_mask_B[:, None] & self.signals.teacher_mask_BT


def step_metrics(facts: StepFacts, *, diagnosis: Diagnosis | None) -> dict[str, float]:
    """The named numbers of a step, most without a diagnosis; what is undefined (a mean of nothing) is left out.

    What the step cost is known only when it is over: see `step_costs`.
    """
    found = _outcome(facts) | _completions(facts) | _credit(facts)
    if diagnosis is not None:
        found |= _diagnosis(diagnosis, facts.rollouts)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _outcome(facts: StepFacts) -> dict[str, float]:
    verdicts, rewards_B = facts.experience.verdicts, facts.experience.scored.rewards_B
    rewards_PG = rewards_B.view(-1, facts.rollouts.num_generations)
    dead_P = dead_groups(rewards_PG)
    right_P = dead_P & (rewards_PG.nanmean(1) > facts.success_above)
    wrong_P = dead_P & (rewards_PG.nanmean(1) <= facts.success_above)
    known = rewards_B[~rewards_B.isnan()]
    return {
        "reward_mean": _mean(known),
        "reward_std": known.std().item() if len(known) > 1 else math.nan,
        "groups_all_right": _mean(right_P),
        "groups_all_wrong": _mean(wrong_P),
        "groups_mixed": _mean(~dead_P),
        "groups_resampled": float(facts.experience.resampled_groups),
        "abstained": verdicts.share("abstain"),
        "errored": verdicts.share("error"),
        "timed_out": verdicts.share("timeout"),
    }


def _completions(facts: StepFacts) -> dict[str, float]:
    rollouts = facts.rollouts
    mask_BT, lengths_B = rollouts.mask_BT, rollouts.lengths_B
    sampled_BT = rollouts.sampling_logps_BT
    trained_BT = mask_BT & ~facts.update.logps_BT.isnan()
    return {
        "truncated": _mean(rollouts.truncated_B),
        "empty": sum(not text.strip() for text in rollouts.texts) / rollouts.num_sequences,
        "completion_tokens_mean": _mean(lengths_B),
        "completion_tokens_max": float(lengths_B.max()),
        "entropy": _mean(-sampled_BT[mask_BT]),
        "rollout_logp_gap_mean": _mean((facts.update.logps_BT - sampled_BT)[trained_BT].abs()),
        "leakage": sum(bool(SPEAKS_OF_REFERENCE.search(text)) for text in rollouts.texts) / rollouts.num_sequences,
    }


def _credit(facts: StepFacts) -> dict[str, float]:
    credit, live_BT, teacher_mask_BT = facts.update.credit, facts.live_BT, facts.teacher_mask_BT
    advantages_B, rewards_B = facts.signals.advantages_B, facts.experience.scored.rewards_B.to(live_BT.device)
    found = {
        "lambda": facts.lam,
        "skipped": 1 - len(facts.live) / facts.rollouts.num_sequences,
        "ratio_clipped": _mean(facts.update.ratio_clipped_BT[live_BT]),
        "loss": facts.update.loss,
        "gradient_norm": facts.update.gradient_norm,
        "learning_rate": facts.learning_rate,
    }
    briefing = facts.briefing
    if briefing is None:
        return found
    asked = list(facts.live) if facts.method.rewarded else slice(None)
    found["unheard"] = _mean(~briefing.teacher_mask_B[asked])
    found["hint_too_long"] = _mean(briefing.too_long_B[asked])
    found["clipped_low"] = _mean(credit.clipped_BT[live_BT] < 0)
    found["clipped_high"] = _mean(credit.clipped_BT[live_BT] > 0)
    for name, chosen_B in (("positive", advantages_B > 0), ("negative", advantages_B < 0)):
        found[f"delta_mean_{name}"] = _mean(credit.deltas_BT[teacher_mask_BT & chosen_B[:, None]])
        found[f"weight_mean_{name}"] = _mean(credit.weights_BT[live_BT & chosen_B[:, None]])
    right_B, wrong_B = rewards_B > facts.success_above, rewards_B <= facts.success_above  # NaN is neither
    for name, chosen_B in (("right", right_B), ("wrong", wrong_B)):
        found[f"delta_sum_{name}"] = _mean(credit.deltas_BT.sum(1)[teacher_mask_BT.any(1) & chosen_B])
    return found


def _diagnosis(diagnosis: Diagnosis, rollouts: Rollouts) -> dict[str, float]:
    """How far the student has moved, and what a hint does by merely being there."""
    sampled_BT, mask_BT = rollouts.sampling_logps_BT, rollouts.mask_BT

    def ratios(logps_BT: Tensor | None) -> Tensor:
        if logps_BT is None:
            return sampled_BT.new_empty(0)
        return (logps_BT - sampled_BT)[mask_BT & ~logps_BT.isnan()].double()

    moved = ratios(diagnosis.base_logps_BT)
    return {
        "kl_to_start": _mean(moved.expm1() - moved),  # an estimate that is never negative
        "hint_delta_abs_mean": _mean(ratios(diagnosis.hinted_logps_BT).abs()),
        "placebo_delta_abs_mean": _mean(ratios(diagnosis.placebo_logps_BT).abs()),
    }


def step_costs(facts: StepFacts) -> dict[str, float]:
    """Seconds, tokens and memory of a step that is over."""
    seconds = facts.watch.seconds
    return {f"{phase}_s": value for phase, value in seconds.items()} | {
        "step_s": sum(seconds.values()),
        "rollout_tokens": float(facts.experience.num_tokens),
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
    advantages, truncated = facts.experience.advantages_B.tolist(), rollouts.truncated_B.tolist()
    return [
        RolloutReport(
            row=rollouts.prompt_of(b).task.row,
            sample=b % rollouts.num_generations,
            completion=text,
            record=facts.experience.scored.records[b],
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
    heard = trained and bool(
        facts.signals.teacher_mask_B[row]
    )  # what nobody was told of is NaN, which JSON has no word for

    def told(values_BT: Tensor | None) -> list[float] | None:
        return values_BT[row, :length].tolist() if heard and values_BT is not None else None

    return TokenReport(
        ids=ids,
        text=policy.tokenizer.batch_decode([[token] for token in ids]),
        logp_student=student_T[:length].tolist(),
        logp_teacher=told(facts.update.teacher_logps_BT),
        logp_contrast=told(facts.update.contrast_logps_BT),
        delta=told(credit.deltas_BT),
        weight=credit.weights_BT[row, :length].tolist(),
        advantage=credit.advantages_BT[row, :length].tolist(),
    )


def sampled_share(num_sequences: int, *, share: float, least: int, generator: torch.Generator) -> list[int]:
    """Some of the rollouts: this share of them, rounded, and at least so many where there are as many.

    They lie evenly from a random start, each as likely as any other: of two groups of samples none has two more.
    """
    count = min(num_sequences, max(least, round(share * num_sequences)))
    start = int(torch.randint(num_sequences, (), generator=generator))
    return [(start + i * num_sequences) // count for i in range(count)]
