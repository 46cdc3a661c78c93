"""Metrics of a step (docs/rlsd.md section 4) and reports of its rollouts.

Names end in their unit where they have one (`_s`, `_tokens`, `_bytes`); shares are in [0, 1]. `positive` and `negative`
refer to the sign of the sequence's advantage, `right` and `wrong` to its score. Credit metrics cover only sequences
with a signal, and deltas only tokens where the teacher was used. Outcome and completions are those without a hint in
the prompt, also where practised ones are trained on in their place; practice has metrics of its own.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.methods import Method
from worker.engine.measure import Stopwatch, peak_memory_bytes
from worker.engine.model.policy import Policy
from worker.engine.observer import RolloutReport, TokenReport
from worker.engine.rollouts.collect import RolloutBatch
from worker.engine.rollouts.reward import Scored
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.teacher.contexts import TeacherContexts
from worker.engine.teacher.diagnostics import Diagnosis
from worker.engine.training.leakage import copying_share, mentioning_share
from worker.engine.training.update import StepTensors, Update

COMPONENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
MAX_COMPONENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """Results of a step from which its report is built."""

    asked: RolloutBatch
    """The questions as they are, without a hint."""
    rollout_batch: RolloutBatch
    """What was trained on: the same, but for practised groups."""
    method: Method
    teacher_contexts: TeacherContexts | None
    """None without a teacher pass."""
    step_tensors: StepTensors
    live: Sequence[int]
    """Sequences with a training signal."""
    update: Update
    lam: float
    learning_rate: float
    teacher_tokens: int
    success_above: float
    watch: Stopwatch

    @property
    def rollouts(self) -> Rollouts:
        return self.rollout_batch.rollouts

    @property
    def num_reported(self) -> int:
        """Completions with a report: those asked for without a hint, and those of practice."""
        practice = self.asked.practice
        return self.asked.rollouts.num_sequences + (0 if practice is None else practice.rollouts.num_sequences)

    @property
    def live_BT(self) -> Tensor:
        """Mask of the tokens trained on."""
        live_B = torch.zeros(self.rollouts.num_sequences, dtype=torch.bool)
        live_B[list(self.live)] = True
        return self.rollouts.mask_BT & live_B.to(self.rollouts.mask_BT.device)[:, None]

    @property
    def teacher_mask_BT(self) -> Tensor:
        """Mask of the tokens trained on with the teacher."""
        return self.live_BT & self.step_tensors.teacher_mask_B[:, None] & self.step_tensors.teacher_mask_BT

    @property
    def method_BT(self) -> Tensor:
        """Mask of the tokens trained on with the credit of the method: those outside practice."""
        return self.live_BT & ~self.step_tensors.practised_B[:, None]


def step_metrics(facts: StepFacts, *, diagnosis: Diagnosis | None) -> dict[str, float]:
    """Compute the metrics of a step, without undefined ones (a mean over nothing); some need a diagnosis.

    The costs are known only when the step is over: see `step_costs`.
    """
    metrics = _outcome(facts) | _completions(facts) | _credit(facts) | _practice(facts)
    if diagnosis is not None:
        metrics |= _diagnosis(diagnosis, facts.asked.rollouts)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _outcome(facts: StepFacts) -> dict[str, float]:
    verdicts, rewards_B = facts.asked.all_scored, facts.asked.scored.rewards_B
    penalties_B = facts.asked.penalties_B
    rewards_PG = rewards_B.view(-1, facts.rollouts.num_generations)
    dead_P = facts.asked.dead_P
    right_P = dead_P & (rewards_PG.nanmean(1) > facts.success_above)
    wrong_P = dead_P & (rewards_PG.nanmean(1) <= facts.success_above)
    scored_rewards = rewards_B[~rewards_B.isnan()]
    return {
        "reward_mean": _mean(scored_rewards),
        "reward_std": scored_rewards.std().item() if len(scored_rewards) > 1 else math.nan,
        "overlong_penalty_mean": math.nan if penalties_B is None else _mean(penalties_B),
        "groups_all_right": _mean(right_P),
        "groups_all_wrong": _mean(wrong_P),
        "groups_mixed": _mean(~dead_P),
        "groups_resampled": float(facts.asked.resampled_groups),
        "abstained": verdicts.share("abstain"),
        "errored": verdicts.share("error"),
        "timed_out": verdicts.share("timeout"),
    } | _components(facts.asked.scored)


def _components(scored: Scored) -> dict[str, float]:
    """Average each component of the scores over the completions that have it: `component_` and its name.

    Names of up to `MAX_COMPONENTS` that a program could have, as those of a `multi` verifier are.
    """
    graded = [record.components for record in scored.records if record.status == "ok"]
    names = sorted({name for components in graded for name in components if COMPONENT.fullmatch(name)})
    return {
        f"component_{name}": _mean(torch.tensor([each[name] for each in graded if name in each]))
        for name in names[:MAX_COMPONENTS]
    }


def _completions(facts: StepFacts) -> dict[str, float]:
    rollouts, trained = facts.asked.rollouts, facts.rollouts
    lengths_B = rollouts.lengths_B
    trained_BT = trained.mask_BT & ~facts.update.logps_BT.isnan()
    return {
        "truncated": _mean(rollouts.truncated_B),
        "empty": sum(not text.strip() for text in rollouts.texts) / rollouts.num_sequences,
        "completion_tokens_mean": _mean(lengths_B),
        "completion_tokens_max": float(lengths_B.max()),
        "entropy": _mean(-rollouts.sampling_logps_BT[rollouts.mask_BT]),
        "rollout_logp_gap_mean": _mean((facts.update.logps_BT - trained.sampling_logps_BT)[trained_BT].abs()),
        "leakage": mentioning_share(rollouts.texts),
    }


def _credit(facts: StepFacts) -> dict[str, float]:
    credit, live_BT, teacher_mask_BT = facts.update.credit, facts.live_BT, facts.teacher_mask_BT
    advantages_B, rewards_B = facts.step_tensors.advantages_B, facts.rollout_batch.scored.rewards_B.to(live_BT.device)
    metrics = {
        "lambda": facts.lam,
        "skipped": 1 - len(facts.live) / facts.rollouts.num_sequences,
        "ratio_clipped": _mean(facts.update.ratio_clipped_BT[live_BT]),
        "loss": facts.update.loss,
        "gradient_norm": facts.update.gradient_norm,
        "learning_rate": facts.learning_rate,
        "kl": math.nan if facts.update.kl_BT is None else _mean(facts.update.kl_BT[live_BT]),
    }
    teacher_contexts = facts.teacher_contexts
    if teacher_contexts is None:
        return metrics
    method_BT = facts.method_BT
    included = list(facts.live) if facts.method.rewarded else slice(None)
    asked_B = ~torch.tensor(teacher_contexts.routed_out_B)[included]
    metrics["unheard"] = _mean(~teacher_contexts.teacher_mask_B[included][asked_B])
    metrics["hint_too_long"] = _mean(teacher_contexts.too_long_B[included][asked_B])
    metrics["clipped_low"] = _mean(credit.clipped_BT[method_BT] < 0)
    metrics["clipped_high"] = _mean(credit.clipped_BT[method_BT] > 0)
    for name, chosen_B in (("positive", advantages_B > 0), ("negative", advantages_B < 0)):
        metrics[f"delta_mean_{name}"] = _mean(credit.deltas_BT[teacher_mask_BT & chosen_B[:, None]])
        metrics[f"weight_mean_{name}"] = _mean(credit.weights_BT[method_BT & chosen_B[:, None]])
    right_B, wrong_B = rewards_B > facts.success_above, rewards_B <= facts.success_above  # NaN is neither
    for name, chosen_B in (("right", right_B), ("wrong", wrong_B)):
        metrics[f"delta_sum_{name}"] = _mean(credit.deltas_BT.sum(1)[teacher_mask_BT.any(1) & chosen_B])
    return metrics


def _practice(facts: StepFacts) -> dict[str, float]:
    """Compare the practised groups with what they replace, and measure what they give away of their hints."""
    practice = facts.asked.practice
    if practice is None:
        return {}
    rewards_B, rollouts = practice.scored.rewards_B, practice.rollouts
    failed_B = facts.asked.scored.groups(practice.groups, num_generations=rollouts.num_generations).rewards_B
    hints = [rollouts.prompt_of(b).hint or "" for b in range(rollouts.num_sequences)]

    def right_share(scores_B: Tensor) -> float:
        return _mean(scores_B[~scores_B.isnan()] > facts.success_above)

    return {
        "practice_groups": float(len(practice.groups)),
        "practice_mixed": _mean(~facts.rollout_batch.dead_P[list(practice.groups)]),
        "practice_right_before": right_share(failed_B),
        "practice_right": right_share(rewards_B),
        "practice_reward_mean": _mean(rewards_B[~rewards_B.isnan()]),
        "practice_leakage": mentioning_share(rollouts.texts),
        "practice_copied": copying_share(rollouts.texts, hints),
    }


def _diagnosis(diagnosis: Diagnosis, rollouts: Rollouts) -> dict[str, float]:
    """Measure how far the student has moved, and the effect of a hint and of a placebo."""
    sampled_BT, mask_BT = rollouts.sampling_logps_BT, rollouts.mask_BT

    def ratios(logps_BT: Tensor | None) -> Tensor:
        if logps_BT is None:
            return sampled_BT.new_empty(0)
        return (logps_BT - sampled_BT)[mask_BT & ~logps_BT.isnan()].double()

    log_ratios = ratios(diagnosis.base_logps_BT)
    return {
        "kl_to_start": _mean(log_ratios.expm1() - log_ratios),  # an estimate that is never negative
        "hint_delta_abs_mean": _mean(ratios(diagnosis.hinted_logps_BT).abs()),
        "placebo_delta_abs_mean": _mean(ratios(diagnosis.placebo_logps_BT).abs()),
    }


def step_costs(facts: StepFacts) -> dict[str, float]:
    """Return seconds, tokens and memory of a finished step."""
    seconds = facts.watch.seconds
    return {f"{phase}_s": value for phase, value in seconds.items()} | {
        "step_s": sum(seconds.values()),
        "rollout_tokens": float(facts.asked.num_tokens),
        "teacher_tokens": float(facts.teacher_tokens),
        "update_tokens": float(facts.update.num_tokens),
        "peak_memory_bytes": peak_memory_bytes(facts.watch.device),
    }


def _mean(values: Tensor) -> float:
    """Average; NaN for no values."""
    return values.double().mean().item()


def rollout_reports(facts: StepFacts, *, policy: Policy, with_tokens: Sequence[int]) -> list[RolloutReport]:
    """Build one report per completion, those of practice last, with per-token numbers for those in `with_tokens`."""
    asked, trained, reported = facts.asked, facts.rollout_batch, frozenset(with_tokens)

    def reports(batch: RolloutBatch, sequences: Sequence[int], *, first: int) -> list[RolloutReport]:
        rollouts = batch.rollouts
        advantages, truncated = batch.advantages_B.tolist(), rollouts.truncated_B.tolist()
        return [
            RolloutReport(
                row=rollouts.prompt_of(b).task.row,
                sample=b % rollouts.num_generations,
                completion=rollouts.texts[b],
                record=batch.scored.records[b],
                advantage=advantages[b],
                truncated=truncated[b],
                hint=rollouts.prompt_of(b).hint,
                tokens=_token_report(facts, rollouts, policy=policy, sequence=b) if number in reported else None,
            )
            for number, b in enumerate(sequences, start=first)
        ]

    num_asked, practised = asked.rollouts.num_sequences, trained.rollouts.practised_B.nonzero().squeeze(1).tolist()
    return reports(asked, range(num_asked), first=0) + reports(trained, practised, first=num_asked)


def _token_report(facts: StepFacts, rollouts: Rollouts, *, policy: Policy, sequence: int) -> TokenReport:
    credit, row = facts.update.credit, sequence
    length = int(rollouts.lengths_B[row])
    ids: list[int] = rollouts.completion_ids_BT[row, :length].tolist()
    text = policy.decoder.token_texts(ids)
    if rollouts.prompt_of(row) is not facts.rollouts.prompt_of(row):  # a practised group took its place
        return TokenReport(
            ids=ids,
            text=text,
            logp_student=rollouts.sampling_logps_BT[row, :length].tolist(),
            logp_teacher=None,
            logp_contrast=None,
            delta=None,
            weight=[1.0] * length,
            advantage=[0.0] * length,
        )
    trained = not bool(facts.update.logps_BT[row].isnan().any())
    student_T = facts.update.logps_BT[row] if trained else rollouts.sampling_logps_BT[row]
    # Without a teacher the values are NaN, which JSON does not support.
    has_teacher = trained and bool(facts.step_tensors.teacher_mask_B[row])

    def values(values_BT: Tensor | None) -> list[float] | None:
        return values_BT[row, :length].tolist() if has_teacher and values_BT is not None else None

    return TokenReport(
        ids=ids,
        text=text,
        logp_student=student_T[:length].tolist(),
        logp_teacher=values(facts.update.teacher_logps_BT),
        logp_contrast=values(facts.update.contrast_logps_BT),
        delta=values(credit.deltas_BT),
        weight=credit.weights_BT[row, :length].tolist(),
        advantage=credit.advantages_BT[row, :length].tolist(),
    )


def sampled_share(num_sequences: int, *, share: float, least: int, generator: torch.Generator) -> list[int]:
    """Choose this share of the sequences, rounded, but at least `least` (or all, if there are fewer).

    They are evenly spaced from a random start, so all are equally likely and groups differ by one at most.
    """
    count = min(num_sequences, max(least, round(share * num_sequences)))
    start = int(torch.randint(num_sequences, (), generator=generator))
    return [(start + i * num_sequences) // count for i in range(count)]
