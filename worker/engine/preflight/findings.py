"""Findings of a pre-flight check: what its figures mean, how serious they are, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.core.hints import HINTS, Hint
from backend.core.verdict import Finding, Level
from worker.engine.preflight.forecast import HintEffect
from worker.engine.rollouts.prompts import LengthLimits

MIN_MIXED_SHARE = 0.2
"""Below this expected share of mixed groups, most of a run's time is spent on groups without a learning signal."""
MOST = 0.5
WARN_FAULT_SHARE = 0.05
MAX_ROWS_NAMED = 5
"""Rows named in a message; the report lists them all."""
UNHELPFUL_HINT_ADVICE: Mapping[Hint, str] = {
    Hint.ANSWER: "an answer alone does not describe the steps to it: choose a hint that does, such as the worked "
    "solution, if the rows have one",
    Hint.SOLUTION: "check that the solutions are right and end in the form that the verifier expects, or use a model "
    "that is large enough to follow them",
    Hint.TRAJECTORY: "check that the trajectories are right and end in the form that the verifier expects, or choose "
    "the worked solution, if the rows have one",
    Hint.PRIVILEGED: "check that the rows' privileged information describes the steps, or choose the worked solution, "
    "if the rows have one",
    Hint.GRADER: "the value that the verifier looks up is seldom more than the answer: choose a hint that describes "
    "the steps, such as the worked solution, if the rows have one",
    Hint.SIBLING: "one of the model's own completions may be right by luck: choose a hint from another source, such "
    "as the worked solution, if the rows have one",
}
"""What to do if a hint of this kind does not help."""


IMITATION = Finding("imitation", Level.PASS, "Imitation learns from texts of the rows, so it needs no mixed groups.")
"""In place of the finding on the signal, for a method that only imitates."""


def before_practice(found: Finding) -> Finding:
    """Return the finding on the signal for a job that practises failed questions, which are probed without a hint."""
    if found.level is Level.PASS or found.code == "nothing_scored":
        return found
    message = f"{found.message} The job practises such questions with a hint in the prompt, which was not tried here."
    return replace(found, level=Level.WARN, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledGroups:
    """What the completions of a pre-flight say about the groups of a run."""

    mixed: float
    """Expected share of mixed groups."""
    solved: int
    scored: int
    """Completions with a score, of which `solved` are right."""
    rows: int
    size: int
    """Completions per group."""


def signal_finding(groups: SampledGroups, *, other_signal: bool, needs_success: bool) -> Finding:
    """Judge whether there is a learning signal.

    `other_signal`: the method also learns from groups whose scores are equal. `needs_success`: for that it needs a
    correct completion.
    """
    mixed, solved, scored, rows = groups.mixed, groups.solved, groups.scored, groups.rows
    on = f"{scored:,} completions of {rows:,} {'row' if rows == 1 else 'rows'}"
    if scored == 0:
        return Finding(
            "nothing_scored",
            Level.FAIL,
            f"None of the completions of {rows:,} rows got a score: try the verifier on a right and a wrong answer.",
        )
    if other_signal and not (needs_success and solved == 0):
        return Finding(
            "mixed_groups",
            Level.PASS,
            f"About {mixed:.0%} of groups of {groups.size} are expected to be mixed; the method learns from the others "
            "too.",
        )
    if mixed == 0 and solved == 0:
        return Finding(
            "nothing_solved",
            Level.FAIL,
            f"None of {on} was right, and all completions of a row scored the same, so there is nothing to learn "
            "from: use easier rows, describe the form of the answer in the prompt or add an example, use a larger or "
            "an instruction-tuned model, or check the verifier on a right answer.",
        )
    if mixed == 0 and solved == scored:
        return Finding(
            "everything_solved",
            Level.FAIL,
            f"All of {on} were right, so there is nothing left to learn: use harder rows or a stricter verifier.",
        )
    if mixed == 0:
        return Finding(
            "no_difference",
            Level.FAIL,
            f"In {on}, all completions of a row scored the same, so no group tells better from worse: use rows that "
            "are sometimes solved, a higher temperature, or a verifier with partial credit.",
        )
    if mixed < MIN_MIXED_SHARE:
        return Finding(
            "few_mixed_groups",
            Level.WARN,
            f"Only about {mixed:.0%} of groups of {groups.size} are expected to be mixed; the others give no signal: "
            "remove rows that are never or always solved, raise num_generations, or set resample_rounds.",
        )
    return Finding(
        "mixed_groups", Level.PASS, f"About {mixed:.0%} of groups of {groups.size} are expected to be mixed."
    )


def verifier_findings(*, faults: float, abstained: float, first_fault: str, limit: float) -> list[Finding]:
    """Judge whether the verifier works. `limit`: share of faults above which a run pauses."""
    found = []
    because = f" The first failure: {first_fault:.300}" if first_fault else ""
    if faults > min(MOST, limit):
        message = (
            f"{faults:.0%} of the completions could not be scored, so a run would pause: fix the verifier.{because}"
        )
        found.append(Finding("verifier_errors", Level.FAIL, message))
    elif faults > WARN_FAULT_SHARE:
        message = (
            f"{faults:.0%} of the completions could not be scored and would be left out: fix the verifier.{because}"
        )
        found.append(Finding("verifier_errors", Level.WARN, message))
    else:
        found.append(Finding("verifier_works", Level.PASS, f"{1 - faults:.0%} of the verifier's calls succeeded."))
    if abstained > MOST:
        message = f"The verifier abstained on {abstained:.0%} of the completions, which give no signal: find out why."
        found.append(Finding("abstained", Level.WARN, message))
    return found


def length_finding(*, truncated: float, max_completion_tokens: int) -> Finding:
    """Judge how many completions end before the length limit."""
    if truncated > MOST:
        return Finding(
            "truncated",
            Level.WARN,
            f"{truncated:.0%} of the completions were cut off at max_completion_tokens = {max_completion_tokens}: "
            "raise it, or ask for shorter answers in the prompt.",
        )
    return Finding(
        "lengths", Level.PASS, f"{1 - truncated:.0%} of the completions ended within {max_completion_tokens} tokens."
    )


def prompt_finding(*, too_long: Sequence[int], longest: int, limits: LengthLimits, rows: int) -> Finding:
    """Judge whether all prompts, with their hints, fit. The message names the limit: the setting or the context."""
    if limits.max_context_tokens < limits.max_prompt_tokens:
        limit = (
            f"{limits.max_tokens:,} that the model's context leaves besides max_completion_tokens (max_prompt_tokens = "
            f"{limits.max_prompt_tokens:,} is more than that)"
        )
        remedy = "lower max_completion_tokens, use a model with a longer context"
    else:
        limit, remedy = f"{limits.max_tokens:,} that max_prompt_tokens allows", "raise max_prompt_tokens"
    if too_long:
        named = ", ".join(map(str, too_long[:MAX_ROWS_NAMED])) + (" …" if len(too_long) > MAX_ROWS_NAMED else "")
        return Finding(
            "prompts_too_long",
            Level.FAIL,
            f"{len(too_long):,} of {rows:,} prompts, hint included, have more tokens than the {limit}: rows {named}; "
            f"the longest has {longest:,}. Training would stop at the first of them: {remedy}, or shorten or remove "
            "these rows.",
        )
    return Finding("prompts_fit", Level.PASS, f"The longest prompt has {longest:,} tokens of the {limit}.")


def prefill_finding(prefill: str) -> Finding:
    """Name what the template writes of each answer: a verifier that requires it never finds it in a completion."""
    return Finding(
        "template_begins_answer",
        Level.PASS,
        f"The chat template already writes {prefill[:200]!r} at the start of every answer, so completions do not "
        "contain it: a verifier must not require it.",
    )


def hint_finding(kind: Hint, effect: HintEffect) -> Finding:
    """Judge whether the hint helps the model itself: if not, a teacher with this hint is no better than the student."""
    low, high = effect.difference["low"], effect.difference["high"]
    difference = f"{100 * low:+.0f} to {100 * high:+.0f} points"
    rates = f"solve rate {effect.shown:.0%} with it, {effect.without:.0%} without (difference {difference})"
    if HINTS[kind].control:
        return Finding(
            "hint_is_a_control", Level.PASS, f"The hint '{kind}' is a control and not meant to help: {rates}."
        )
    if effect.helps == "yes":
        return Finding("hint_helps", Level.PASS, f"The hint '{kind}' helps: {rates}.")
    if effect.helps == "not_needed":
        return Finding("hint_not_needed", Level.PASS, f"All rows are solved without the hint '{kind}': {rates}.")
    if effect.helps == "unclear":
        return Finding(
            "hint_unclear",
            Level.WARN,
            f"Too few completions to tell whether the hint '{kind}' helps: {rates}. Use more rows or samples.",
        )
    return Finding(
        "hint_does_not_help",
        Level.WARN,
        f"The hint '{kind}' does not help: {rates}. A teacher with this hint judges no better than the model itself: "
        f"{UNHELPFUL_HINT_ADVICE[kind]}; the teacher preview shows the prompts.",
    )


def warm_start_finding(steps: int) -> Finding:
    """Say that the completions are those of the model after the warm start."""
    return Finding(
        "after_warm_start",
        Level.PASS,
        f"Everything here was measured after the {steps:,} steps of the warm start, which were really taken.",
    )


def step_finding(fault: str) -> Finding:
    """Report the fault that stopped a trial step."""
    return Finding("step_failed", Level.FAIL, f"A trial training step failed: {fault}.")
