"""Hints for the teacher: one for each sequence of a step, from its row, its siblings or another row.

Pure functions on texts. Hints that every row must have are checked before the run starts; where a group lacks one, such
as a successful sibling, the teacher does not score that sequence.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from backend.core.hints import Hint
from worker.engine.types import Task


def row_hint(task: Task, *, kind: Hint) -> str:
    """Return the row's own hint. ValueError naming the row if it is missing: a signal is never dropped silently."""
    text = row_text(task, kind=kind)
    if text is None:
        raise ValueError(f"row {task.row} has no {kind}, which the teacher needs as its hint")
    return text


def row_text(task: Task, *, kind: Hint) -> str | None:
    """Return the row's text of this kind; None if it has none, or an empty one."""
    texts = {
        Hint.ANSWER: task.answer,
        Hint.SOLUTION: task.solution,
        Hint.TRAJECTORY: task.trajectory,
        Hint.PRIVILEGED: task.privileged,
        Hint.GRADER: task.looked_up,
    }
    text = texts[kind]
    return None if text is None or not text.strip() else text


def placebo_hint(tasks: Sequence[Task], *, index: int, kind: Hint, offset: int) -> str:
    """Return the hint of the first row from `index + offset` on whose hint differs from the row's own.

    ValueError if all rows have the same hint, so that there is no placebo.
    """
    own = row_hint(tasks[index], kind=kind)
    for step in range(len(tasks)):
        other = row_hint(tasks[(index + offset + step) % len(tasks)], kind=kind)
        if other != own:
            return other
    raise ValueError(f"all rows have the same {kind}, so none can be another row's placebo")


def sibling_hints(
    texts: Sequence[str],
    rewards_B: Tensor,
    *,
    num_generations: int,
    success_above: float,
    kind: Hint,
    count: int,
    generator: torch.Generator,
) -> list[tuple[str, ...]]:
    """Draw up to `count` siblings' completions for each sequence, `[B]`: successes, or failures for `wrong_sibling`.

    Drawn without replacement, in an order that depends on the generator alone; an empty tuple if there is none. Empty
    or unscored completions and copies of the sequence itself are excluded.
    """
    order_B = torch.randperm(len(texts), generator=generator).tolist()
    rewards = rewards_B.tolist()

    def fits(reward: float) -> bool:
        return reward <= success_above if kind is Hint.WRONG_SIBLING else reward > success_above  # NaN is neither

    found: list[tuple[str, ...]] = []
    for b, text in enumerate(texts):
        first = b - b % num_generations
        group = sorted(range(first, first + num_generations), key=order_B.__getitem__)
        siblings = dict.fromkeys(
            texts[other].strip()
            for other in group
            if fits(rewards[other]) and texts[other].strip() not in ("", text.strip())
        )
        found.append(tuple(siblings)[:count])
    return found


def other_rows_hints(
    hints_B: Sequence[tuple[str, ...]], *, rows_B: Sequence[int], num_generations: int
) -> list[tuple[str, ...]]:
    """Collect, for each sequence, the hints at the same index of other rows' groups, `[B]`: placebos of the same step.

    Starts from the next group. Excludes the sequence's own hints; empty for a sequence that has none.
    """
    found: list[tuple[str, ...]] = []
    for b, own in enumerate(hints_B):
        others = [(b + distance) % len(hints_B) for distance in range(num_generations, len(hints_B), num_generations)]
        candidates = dict.fromkeys(hint for other in others if rows_B[other] != rows_B[b] for hint in hints_B[other])
        found.append(tuple(hint for hint in candidates if hint not in own) if own else ())
    return found
