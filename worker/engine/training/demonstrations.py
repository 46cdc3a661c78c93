"""Demonstrations: the texts of rows as the completions that a model imitates (docs/rlsd.md section 7)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from backend.core.hints import Hint
from backend.core.settings.imitation import TARGET_WORDS
from worker.engine.faults import Fault, FaultCode
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prefill import prefill_of, text_after_answer
from worker.engine.rollouts.prompts import Context, Prompt
from worker.engine.seeds import numpy_generator
from worker.engine.settings import Settings
from worker.engine.teacher.hints import row_text


class LeftOut(StrEnum):
    """Why a row is not imitated."""

    MISSING = "missing"
    """It does not have the text."""
    TOO_LONG = "too_long"
    """The text has more tokens than a completion may have."""
    CONTROL = "control"
    """The text contains tokens that no completion has before its end."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A completion to imitate."""

    context: Context
    target_ids: tuple[int, ...]
    """The completion as the student would sample it, end of sequence included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The demonstrations of some rows, at least one, in epochs that each have an order of their own."""

    chosen: tuple[Demonstration, ...]
    target: Hint
    left_out: Mapping[LeftOut, int]
    """Number of rows without a demonstration, by the reason."""
    purpose: str
    """Of the random numbers of order and dropout."""

    def steps_per_epoch(self, *, batch_size: int) -> int:
        """Return the number of batches of an epoch, the last of which may be smaller."""
        return math.ceil(len(self.chosen) / batch_size)

    def batch(self, step: int, *, seed: int, batch_size: int) -> list[Demonstration]:
        """Return the batch of step `step` (from 1). Each epoch contains every demonstration once."""
        epoch, number = divmod(step - 1, self.steps_per_epoch(batch_size=batch_size))
        order = numpy_generator(seed, step=epoch, purpose=f"{self.purpose} order").permutation(len(self.chosen))
        return [self.chosen[index] for index in order[number * batch_size : (number + 1) * batch_size].tolist()]

    def sample(self, count: int, *, seed: int) -> "Demonstrations":
        """Choose `count` of the demonstrations, in their order; all if there are no more."""
        order = numpy_generator(seed, step=0, purpose=f"{self.purpose} rows").permutation(len(self.chosen)).tolist()
        return replace(self, chosen=tuple(self.chosen[index] for index in sorted(order[:count])))

    def in_words(self, settings: Settings) -> str:
        """Say how many rows are imitated, and why others are not, in sentences."""
        word, count = TARGET_WORDS[self.target], len(self.chosen)
        kinds = {
            LeftOut.MISSING: f"without {word}",
            LeftOut.TOO_LONG: f"with more than max_completion_tokens = {settings.max_completion_tokens} tokens",
            LeftOut.CONTROL: "with tokens that end a completion or stand for an image",
        }
        left_out = ", ".join(f"{number:,} {kinds[why]}" for why, number in self.left_out.items())
        imitated = f"The {word}s of {count:,} rows are imitated." if count else "No row is imitated."
        return f"{imitated} Left out: {left_out}." if left_out else imitated


def demonstrations(
    prompts: Sequence[Prompt], *, policy: Policy, target: Hint, settings: Settings, purpose: str
) -> Demonstrations:
    """Build a demonstration of each prompt whose row has a usable target. Fault, with the reasons, if none has.

    Where the chat template begins the answer itself, as with `<think>`, the target continues from there.
    """
    tokenizer, end = policy.tokenizer, end_of_turn(policy)
    control = {*policy.eos_ids, *(() if policy.vision is None else (policy.vision.image_token_id,))}
    begun = prefill_of(tokenizer).strip()
    chosen: list[Demonstration] = []
    left_out: Counter[LeftOut] = Counter()
    for prompt in prompts:
        text = row_text(prompt.task, kind=target)
        if text is None:
            left_out[LeftOut.MISSING] += 1
            continue
        text = text.strip().removeprefix(begun).lstrip()
        written = tokenizer.encode(text, add_special_tokens=False)
        ids = (*written[: -1 if written and written[-1] in policy.eos_ids else None], end)
        if control.intersection(ids[:-1]):
            left_out[LeftOut.CONTROL] += 1
        elif len(ids) > settings.max_completion_tokens:
            left_out[LeftOut.TOO_LONG] += 1
        else:
            chosen.append(Demonstration(prompt.student, ids))
    found = Demonstrations(chosen=tuple(chosen), target=target, left_out=left_out, purpose=purpose)
    if not chosen:
        raise Fault(
            FaultCode.NOTHING_TO_IMITATE,
            f"there is nothing to imitate. {found.in_words(settings)} Raise max_completion_tokens, or choose another "
            "warm_start.target",
            param="max_completion_tokens" if left_out[LeftOut.TOO_LONG] else "warm_start.target",
        )
    return found


def end_of_turn(policy: Policy) -> int:
    """Return the token with which the chat template ends an answer, if it ends completions; else any that does."""
    after = policy.tokenizer.encode(text_after_answer(policy.tokenizer), add_special_tokens=False)
    return next((token for token in after if token in policy.eos_ids), policy.eos_ids[0])
