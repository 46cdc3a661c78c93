"""Owns the report of a pre-flight: the figures of a probe and what they mean, as plain JSON without NaN."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from worker.engine.evaluation.statistics import SCORES
from worker.engine.methods import method_named
from worker.engine.model.images import messages_and_pictures
from worker.engine.preflight import findings
from worker.engine.preflight.findings import PreflightFinding
from worker.engine.preflight.forecast import (
    HintEffect,
    expected_time,
    hint_effect,
    histogram,
    is_unbiased,
    mixed_probability,
    over_rows,
    solve_rate,
)
from worker.engine.preflight.probe import Probe, ProbeCompletions
from worker.engine.preflight.trial_steps import TrialSteps
from worker.engine.settings import Settings
from worker.engine.types import Hint, Task

Json = dict[str, Any]

SHOWN_CHARACTERS = 500
"""Of a question and of a completion, in the list of rows."""
CONTROLS = (Hint.PLACEBO, Hint.EMPTY, Hint.WRONG_SIBLING)
"""Hints that are not there to help."""
HOW_UNBIASED = (
    "share of mixed groups among all groups that can be drawn from a row's samples without replacement: unbiased"
)
HOW_LOW = (
    "groups drawn with replacement from fewer samples than a group has: on average too low; take as many samples as "
    "num_generations"
)


def outlook(found: Probe, *, settings: Settings, samples: int, tasks: int, rehearsal: TrialSteps | None) -> Json:
    """Everything a pre-flight found: `{findings, ...}`. `tasks`: how many rows the data has."""
    lengths = found.lengths
    judged: list[PreflightFinding] = []
    report: Json = {
        "rows": len(found.prompts),
        "of_rows": tasks,
        "samples": samples,
        "group": settings.num_generations,
        "prompts": _prompts(found),
    }
    if found.plain is not None:
        effect = _effect(found, settings=settings)
        mixed = _mixed(found, found.plain, settings=settings)
        report |= _solving(found, found.plain, settings=settings) | {
            "mixed": mixed,
            "completions": _completions(found.plain, settings=settings),
            "hint": _hint(found, effect),
            "time": expected_time(found.plain, mixed=mixed["share"]["mean"], rehearsal=rehearsal, settings=settings),
            "per_row": _per_row(found, found.plain, settings=settings),
        }
        judged += _judged(report, settings=settings, effect=effect, hint=found.hint)
    judged.append(
        findings.of_prompts(
            too_long=lengths.too_long, longest=lengths.longest, room=lengths.room, rows=len(lengths.student)
        )
    )
    if rehearsal is not None and rehearsal.fault is not None:
        judged.insert(0, findings.of_step(rehearsal.fault))
    return {"findings": judged, **report}


def _judged(
    report: Json, *, settings: Settings, effect: HintEffect | None, hint: Hint | None
) -> list[PreflightFinding]:
    method, completions = method_named(settings.method), report["completions"]
    judged = [
        findings.of_signal(
            mixed=report["mixed"]["share"]["mean"],
            solved=completions["solved"],
            scored=completions["scored"],
            rows=report["rows"],
            group=settings.num_generations,
            other_signal=method.distils,
            needs_success=hint is Hint.SIBLING,
        ),
        *findings.of_verifier(
            faults=completions["errored"] + completions["timed_out"],
            abstained=completions["abstained"],
            first_fault=completions["first_fault"],
            limit=settings.max_error_share,
        ),
        findings.of_lengths(truncated=completions["truncated"], max_completion_tokens=settings.max_completion_tokens),
    ]
    if effect is not None and hint is not None:
        judged.append(
            findings.of_hint(
                kind=hint,
                helps=effect.helps,
                without=effect.without,
                shown=effect.shown,
                low=effect.difference["low"],
                high=effect.difference["high"],
                is_control=hint in CONTROLS,
            )
        )
    return judged


def _solving(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> Json:
    rows = [prompt.task.row for prompt in found.prompts]
    rates = _rates(plain, settings=settings)
    means = [_mean(plain.scores_of(place)) for place in range(len(rows))]
    rewards = plain.scored.rewards_B[~plain.scored.rewards_B.isnan()]
    return {
        "success_above": settings.success_above,
        "solve_rate": over_rows(rates, within=SCORES),
        "reward": over_rows(means, within=SCORES),
        "reward_std": float(rewards.std()) if len(rewards) > 1 else None,
        "histogram": histogram(rates),
        "never_solved": [row for row, rate in zip(rows, rates, strict=True) if rate == 0],
        "always_solved": [row for row, rate in zip(rows, rates, strict=True) if rate == 1],
        "unscored": [row for row, rate in zip(rows, rates, strict=True) if rate is None],
    }


def _mixed(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> Json:
    group = settings.num_generations
    shares = [mixed_probability(plain.scores_of(place), group=group) for place in range(len(found.prompts))]
    unbiased = is_unbiased(samples=plain.samples, group=group)
    return {
        "share": over_rows(shares, within=SCORES),
        "unbiased": unbiased,
        "how": HOW_UNBIASED if unbiased else HOW_LOW,
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
        "first_fault": _storable(scored.first_fault),
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
        "allowed": found.lengths.room.tokens,
        "student": figures(found.lengths.student),
        "hinted": figures(found.lengths.hinted),
        "too_long": found.lengths.too_long,
    }


def _effect(found: Probe, *, settings: Settings) -> HintEffect | None:
    """Over the rows that were answered with a hint and without."""
    if found.hinted is None or found.plain is None:
        return None
    places = {prompt.task.row: place for place, prompt in enumerate(found.prompts)}
    rows = [prompt.task.row for prompt in found.hinted_prompts]
    return hint_effect(
        rows,
        [found.plain.scores_of(places[row]) for row in rows],
        [found.hinted.scores_of(place) for place in range(len(rows))],
        success_above=settings.success_above,
        seed=settings.seed,
    )


def _hint(found: Probe, effect: HintEffect | None) -> Json | None:
    """None where the method shows no hint."""
    if found.hint is None:
        return None
    told: Json = {"kind": str(found.hint), "rows_without": len(found.prompts) - len(found.hinted_prompts)}
    if effect is None:
        return told | {"helps": None, "rows": 0, "not_helped": []}
    return told | asdict(effect) | {"not_helped": list(effect.not_helped)}


def _per_row(found: Probe, plain: ProbeCompletions, *, settings: Settings) -> list[Json]:
    rates = _rates(plain, settings=settings)
    hinted: dict[int, float | None] = {}
    if found.hinted is not None:
        hinted_rates = _rates(found.hinted, settings=settings)
        hinted = {prompt.task.row: rate for prompt, rate in zip(found.hinted_prompts, hinted_rates, strict=True)}
    return [
        {
            "row": prompt.task.row,
            "question": _storable(_question(prompt.task)),
            "solve_rate": rates[place],
            "hinted_solve_rate": hinted.get(prompt.task.row),
            "reward": _mean(plain.scores_of(place)),
            "scored": sum(score is not None for score in plain.scores_of(place)),
            "mixed": mixed_probability(plain.scores_of(place), group=settings.num_generations),
            "completion": _storable(plain.texts[place * plain.samples]),
            "completion_score": plain.scores_of(place)[0],
        }
        for place, prompt in enumerate(found.prompts)
    ]


def _rates(answers: ProbeCompletions, *, settings: Settings) -> list[float | None]:
    """The solve rate of each prompt."""
    prompts = len(answers.texts) // answers.samples
    return [solve_rate(answers.scores_of(place), success_above=settings.success_above) for place in range(prompts)]


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _question(task: Task) -> str:
    """The last user message's words."""
    asked = [message["content"] for message in messages_and_pictures(task)[0] if message["role"] == "user"]
    if not asked:
        return ""
    content = asked[-1]
    if not isinstance(content, str):
        content = " ".join(part["text"] if part["type"] == "text" else "[image]" for part in content)
    return content


def _storable(text: str) -> str:
    """The beginning of a text, without what a database refuses."""
    return text[:SHOWN_CHARACTERS].replace("\x00", "\ufffd")
