"""Owns what the figures of a pre-flight mean, how grave that is, and what to do about it."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from worker.engine.rollouts.prompts import LengthLimits
from worker.engine.types import Hint

Level = Literal["pass", "warn", "fail"]

FEW_MIXED = 0.2
"""Below this expected share of mixed groups most of a run's time would be spent on groups that teach nothing."""
MOST = 0.5
SOME_FAULTS = 0.05
NAMED = 5
"""Rows that a sentence names; lists name them all."""
NO_HELP: Mapping[Hint, str] = {
    Hint.ANSWER: "a bare answer says nothing of the way to it: choose a hint that speaks about the steps, such as the "
    "worked solution, where the rows have one",
    Hint.SOLUTION: "see whether the solutions are right and lead to what the verifier asks for, or take a model that "
    "is large enough to follow them",
    Hint.TRAJECTORY: "see whether the trajectories are right and lead to what the verifier asks for, or choose the "
    "worked solution, where the rows have one",
    Hint.PRIVILEGED: "see whether what the rows tell the teacher speaks about their steps, or choose the worked "
    "solution, where the rows have one",
    Hint.GRADER: "what the verifier looks up is seldom more than the answer: choose a hint that speaks about the "
    "steps, such as the worked solution, where the rows have one",
    Hint.SIBLING: "a completion of the model's own may be right by luck: choose a hint that comes from outside, such "
    "as the worked solution, where the rows have one",
}
"""What to do where such a hint does not help."""


class PreflightFinding(TypedDict):
    """One thing that was looked at; `code` is stable and may be matched by programs."""

    code: str
    level: Level
    message: str


def finding(code: str, level: Level, message: str) -> PreflightFinding:
    return PreflightFinding(code=code, level=level, message=message)


def of_signal(
    *, mixed: float, solved: int, scored: int, rows: int, group: int, other_signal: bool, needs_success: bool
) -> PreflightFinding:
    """Is there anything to learn from? `mixed`: expected share of mixed groups.

    `other_signal`: the method also learns from groups whose scores are equal. `needs_success`: it then needs a
    completion that was right.
    """
    on = f"{scored:,} completions of {rows:,} {'row' if rows == 1 else 'rows'}"
    if scored == 0:
        return finding(
            "nothing_scored",
            "fail",
            f"None of the completions of {rows:,} rows got a score: try the verifier on a right and a wrong answer.",
        )
    if other_signal and not (needs_success and solved == 0):
        return finding(
            "mixed_groups",
            "pass",
            f"About {mixed:.0%} of groups of {group} are expected to be mixed; the method learns from the others too.",
        )
    if mixed == 0 and solved == 0:
        return finding(
            "nothing_solved",
            "fail",
            f"None of {on} was right and all of a row scored the same, so there is nothing to learn from: take easier "
            "rows, say in the prompt what form the answer must have or show an example, take a larger or an "
            "instruction-tuned model, or check the verifier on a right answer.",
        )
    if mixed == 0 and solved == scored:
        return finding(
            "everything_solved",
            "fail",
            f"All of {on} were right, so there is nothing left to learn: take harder rows, or a verifier that asks "
            "for more.",
        )
    if mixed == 0:
        return finding(
            "no_difference",
            "fail",
            f"In {on} all completions of a row scored the same, so no group can tell better from worse: take rows that "
            "are sometimes solved, a higher temperature, or a verifier with partial credit.",
        )
    if mixed < FEW_MIXED:
        return finding(
            "few_mixed_groups",
            "warn",
            f"Only about {mixed:.0%} of groups of {group} are expected to be mixed, and the others teach nothing: "
            "leave out rows that are never or always solved, raise num_generations, or set resample_rounds.",
        )
    return finding("mixed_groups", "pass", f"About {mixed:.0%} of groups of {group} are expected to be mixed.")


def of_verifier(*, faults: float, abstained: float, first_fault: str, limit: float) -> list[PreflightFinding]:
    """Can the scores be trusted? `limit`: share of faults above which a run would pause."""
    found = []
    because = f" The first: {first_fault:.300}" if first_fault else ""
    if faults > min(MOST, limit):
        message = (
            f"{faults:.0%} of the completions could not be scored, so a run would pause: mend the verifier.{because}"
        )
        found.append(finding("verifier_errors", "fail", message))
    elif faults > SOME_FAULTS:
        message = (
            f"{faults:.0%} of the completions could not be scored and would be left out: mend the verifier.{because}"
        )
        found.append(finding("verifier_errors", "warn", message))
    else:
        found.append(finding("verifier_works", "pass", f"{1 - faults:.0%} of the verifier's calls went well."))
    if abstained > MOST:
        message = (
            f"The verifier gave no opinion on {abstained:.0%} of the completions, and those teach nothing: see why."
        )
        found.append(finding("abstained", "warn", message))
    return found


def of_lengths(*, truncated: float, max_completion_tokens: int) -> PreflightFinding:
    """Do completions come to their end?"""
    if truncated > MOST:
        return finding(
            "truncated",
            "warn",
            f"{truncated:.0%} of the completions were cut off at max_completion_tokens = {max_completion_tokens}: "
            "raise it, or ask for shorter answers in the prompt.",
        )
    return finding(
        "lengths", "pass", f"{1 - truncated:.0%} of the completions ended within {max_completion_tokens} tokens."
    )


def of_prompts(*, too_long: Sequence[int], longest: int, room: LengthLimits, rows: int) -> PreflightFinding:
    """Do all prompts, with their hints, fit? What sets the limit is named: the setting, or the model's context."""
    if room.max_context_tokens < room.max_prompt_tokens:
        limit = (
            f"{room.tokens:,} that the model's context leaves beside max_completion_tokens (max_prompt_tokens = "
            f"{room.max_prompt_tokens:,} is more than that)"
        )
        raised = "lower max_completion_tokens, take a model with a longer context"
    else:
        limit, raised = f"{room.tokens:,} that max_prompt_tokens allows", "raise max_prompt_tokens"
    if too_long:
        named = ", ".join(map(str, too_long[:NAMED])) + (" …" if len(too_long) > NAMED else "")
        return finding(
            "prompts_too_long",
            "fail",
            f"{len(too_long):,} of {rows:,} prompts, hint included, have more tokens than the {limit}: rows {named}; "
            f"the longest has {longest:,}. Training would stop at the first: {raised}, or shorten these rows or leave "
            "them out.",
        )
    return finding("prompts_fit", "pass", f"The longest prompt has {longest:,} tokens of the {limit}.")


def of_hint(
    *, kind: Hint, helps: str, without: float, shown: float, low: float, high: float, is_control: bool
) -> PreflightFinding:
    """Does the hint help the model itself? Where it does not, a teacher that is shown it knows no better."""
    difference = f"{100 * low:+.0f} to {100 * high:+.0f} points"
    rates = f"solve rate {shown:.0%} with it, {without:.0%} without (difference {difference})"
    if is_control:
        return finding("hint_is_a_control", "pass", f"The hint '{kind}' is a control, which is not to help: {rates}.")
    if helps == "yes":
        return finding("hint_helps", "pass", f"The hint '{kind}' helps: {rates}.")
    if helps == "not_needed":
        return finding("hint_not_needed", "pass", f"Everything is solved without the hint '{kind}': {rates}.")
    if helps == "unclear":
        return finding(
            "hint_unclear",
            "warn",
            f"Whether the hint '{kind}' helps is not clear from so few completions: {rates}. Take more of them.",
        )
    return finding(
        "hint_does_not_help",
        "warn",
        f"The hint '{kind}' does not help: {rates}. A teacher that is shown it judges no better than the model itself: "
        f"{NO_HELP[kind]}; the teacher preview shows the prompts.",
    )


def of_step(fault: str) -> PreflightFinding:
    """What stopped a real step."""
    return finding("step_failed", "fail", f"A step of training was tried and could not be taken: {fault}.")
