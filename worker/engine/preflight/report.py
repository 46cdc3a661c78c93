"""The report of a pre-flight check: a probe's findings, and its figures as JSON without NaN."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from backend.core.hints import Hint
from backend.core.methods import method_named
from backend.core.statistics import SCORES
from backend.core.verdict import Finding
from worker.engine.model.images import messages_and_images
from worker.engine.preflight import findings
from worker.engine.preflight.forecast import (
    HintEffect,
    forecast_time,
    hint_effect,
    histogram,
    is_unbiased,
    mean_over_rows,
    mixed_probability,
    solve_rate,
)
from worker.engine.preflight.probe import Probe, ProbeCompletions
from worker.engine.preflight.trial_steps import TrialSteps
from worker.engine.settings import Settings
from worker.engine.types import Task

Json = dict[str, Any]

SHOWN_CHARACTERS = 500
"""Of a question and of a completion in the list of rows; the rest is cut off."""
HOW_UNBIASED = (
    "share of mixed groups among all groups that can be drawn from a row's samples without replacement (unbiased)"
)
HOW_BIASED = (
    "groups drawn with replacement, because a row has fewer samples than a group: too low on average; use at least "
    "num_generations samples"
)


def build_report(
    found: Probe, *, settings: Settings, samples: int, tasks: int, trial_steps: TrialSteps | None, warm_steps: int
) -> tuple[list[Finding], Json]:
    """Build the report: the findings, and the figures behind them.

    `tasks`: number of rows in the data. `warm_steps`: of the warm start that preceded the completions.
    """
    lengths = found.lengths
    all_findings: list[Finding] = []
    report: Json = {
        "rows": len(found.prompts),
        "of_rows": tasks,
        "samples": samples,
        "group": settings.num_generations,
        "warm_steps": warm_steps,
        "prompts": _prompts(found),
    }
    if found.plain is not None:
        effect = _hint_effect(found, settings=settings)
        mixed = _mixed(found, found.plain, settings=settings)
        report |= _solving(found, found.plain, settings=settings) | {
            "mixed": mixed,
            "completions": _completions(found.plain, settings=settings),
            "hint": _hint(found, effect),
            "time": forecast_time(
                found.plain, mixed=mixed["share"]["mean"], trial_steps=trial_steps, settings=settings
            ),
            "per_row": _per_row(found, found.plain, settings=settings),
        }
        all_findings += _findings(report, settings=settings, effect=effect, hint=found.hint)
    all_findings.append(
        findings.prompt_finding(
            too_long=lengths.too_long, longest=lengths.longest, limits=lengths.limits, rows=len(lengths.student)
        )
    )
    if warm_steps:
        all_findings.append(findings.warm_start_finding(warm_steps))
    if found.prefill:
        all_findings.append(findings.prefill_finding(found.prefill))
    if trial_steps is not None and trial_steps.fault is not None:
        all_findings.insert(0, findings.step_finding(trial_steps.fault))
    return all_findings, report


def _findings(report: Json, *, settings: Settings, effect: HintEffect | None, hint: Hint | None) -> list[Finding]:
    method, completions = method_named(settings.method), report["completions"]
    groups = findings.SampledGroups(
        mixed=report["mixed"]["share"]["mean"],
        solved=completions["solved"],
        scored=completions["scored"],
        rows=report["rows"],
        size=settings.num_generations,
    )
    signal = findings.signal_finding(groups, other_signal=method.distils, needs_success=hint is Hint.SIBLING)
    if settings.practice is not None:
        signal = findings.before_practice(signal)
    found = [
        findings.IMITATION if method.imitates and signal.code != "nothing_scored" else signal,
        *findings.verifier_findings(
            faults=completions["errored"] + completions["timed_out"],
            abstained=completions["abstained"],
            first_fault=completions["first_fault"],
            limit=settings.max_error_share,
        ),
        findings.length_finding(
            truncated=completions["truncated"], max_completion_tokens=settings.max_completion_tokens
        ),
    ]
    if effect is not None and hint is not None:
        found.append(findings.hint_finding(hint, effect))
    return found


def _solving(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> Json:
    rows = [prompt.task.row for prompt in found.prompts]
    rates = _rates(plain, settings=settings)
    means = [_mean(plain.scores_of(index)) for index in range(len(rows))]
    rewards = plain.scored.rewards_B[~plain.scored.rewards_B.isnan()]
    return {
        "success_above": settings.success_above,
        "solve_rate": mean_over_rows(rates, within=SCORES),
        "reward": mean_over_rows(means, within=SCORES),
        "reward_std": float(rewards.std()) if len(rewards) > 1 else None,
        "histogram": histogram(rates),
        "never_solved": [row for row, rate in zip(rows, rates, strict=True) if rate == 0],
        "always_solved": [row for row, rate in zip(rows, rates, strict=True) if rate == 1],
        "unscored": [row for row, rate in zip(rows, rates, strict=True) if rate is None],
    }


def _mixed(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> Json:
    group = settings.num_generations
    shares = [
        mixed_probability(plain.values_of(index, weights=found.component_weights), group=group)
        for index in range(len(found.prompts))
    ]
    unbiased = is_unbiased(samples=plain.samples, group=group)
    return {
        "share": mean_over_rows(shares, within=SCORES),
        "unbiased": unbiased,
        "how": HOW_UNBIASED if unbiased else HOW_BIASED,
    }


def _completions(plain: ProbeCompletions, *, settings: Settings) -> Json:
    scored, lengths = plain.scored, np.array(plain.lengths)
    return {
        "total": len(scored.records),
        "scored": int((~scored.rewards_B.isnan()).sum()),
        "solved": int((scored.rewards_B > settings.success_above).sum()),
        "abstained": scored.share("abstain"),
        "errored": scored.share("error"),
        "timed_out": scored.share("timeout"),
        "first_fault": scored.first_fault[:SHOWN_CHARACTERS],
        "truncated": sum(plain.truncated) / len(plain.truncated),
        "tokens_mean": float(lengths.mean()),
        "tokens_p95": float(np.percentile(lengths, 95)),
        "tokens_max": int(lengths.max()),
    }


def _prompts(found: Probe) -> Json:
    def figures(lengths: dict[int, int]) -> Json | None:
        return (
            {"tokens_mean": float(np.mean([*lengths.values()])), "tokens_max": max(lengths.values())}
            if lengths
            else None
        )

    return {
        "rows": len(found.lengths.student),
        "allowed": found.lengths.limits.max_tokens,
        "student": figures(found.lengths.student),
        "hinted": figures(found.lengths.hinted),
        "too_long": found.lengths.too_long,
    }


def _hint_effect(found: Probe, *, settings: Settings) -> HintEffect | None:
    """Compute the effect of the hint over the rows sampled with it and without."""
    if found.hinted is None or found.plain is None:
        return None
    indices = {prompt.task.row: index for index, prompt in enumerate(found.prompts)}
    rows = [prompt.task.row for prompt in found.hinted_prompts]
    return hint_effect(
        rows,
        [found.plain.scores_of(indices[row]) for row in rows],
        [found.hinted.scores_of(index) for index in range(len(rows))],
        success_above=settings.success_above,
        seed=settings.seed,
    )


def _hint(found: Probe, effect: HintEffect | None) -> Json | None:
    """Describe the hint and its effect; None if the method has no hint."""
    if found.hint is None:
        return None
    facts: Json = {"kind": str(found.hint), "rows_without": len(found.prompts) - len(found.hinted_prompts)}
    if effect is None:
        return facts | {"helps": None, "rows": 0, "not_helped": []}
    return facts | asdict(effect) | {"not_helped": list(effect.not_helped)}


def _per_row(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> list[Json]:
    rates = _rates(plain, settings=settings)
    hinted: dict[int, float | None] = {}
    if found.hinted is not None:
        hinted_rates = _rates(found.hinted, settings=settings)
        hinted = {prompt.task.row: rate for prompt, rate in zip(found.hinted_prompts, hinted_rates, strict=True)}
    return [
        {
            "row": prompt.task.row,
            "question": question(prompt.task)[:SHOWN_CHARACTERS],
            "solve_rate": rates[index],
            "hinted_solve_rate": hinted.get(prompt.task.row),
            "reward": _mean(plain.scores_of(index)),
            "scored": sum(score is not None for score in plain.scores_of(index)),
            "mixed": mixed_probability(
                plain.values_of(index, weights=found.component_weights), group=settings.num_generations
            ),
            "completion": plain.texts[index * plain.samples][:SHOWN_CHARACTERS],
            "completion_score": plain.scores_of(index)[0],
        }
        for index, prompt in enumerate(found.prompts)
    ]


def _rates(completions: ProbeCompletions, *, settings: Settings) -> list[float | None]:
    """Compute the solve rate of each prompt."""
    prompts = len(completions.texts) // completions.samples
    return [solve_rate(completions.scores_of(index), success_above=settings.success_above) for index in range(prompts)]


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def question(task: Task) -> str:
    """Return the text of the row's last user message."""
    messages, _images = messages_and_images(replace(task, prompt_messages=None))
    contents = [message["content"] for message in messages if message["role"] == "user"]
    if not contents:
        return ""
    content = contents[-1]
    if not isinstance(content, str):
        content = " ".join(part["text"] if part["type"] == "text" else "[image]" for part in content)
    return content
