"""Owns what a teacher is told: a hint for each sequence of a step, from its row, its siblings or another row.

Pure functions on texts. A hint that a row must have is checked before the run starts; where a group may lack one, such
as a successful sibling, the teacher has no word on that sequence.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine.types import Hint, Task

ROW_HINTS = frozenset({Hint.ANSWER, Hint.SOLUTION, Hint.TRAJECTORY, Hint.PRIVILEGED, Hint.GRADER})
"""Hints that stand in the row itself."""
FROM_GROUP = frozenset({Hint.SIBLING, Hint.WRONG_SIBLING})
"""Hints that exist only once a group has been sampled and scored."""


def row_hint(task: Task, *, kind: Hint) -> str:
    """The row's own hint. ValueError naming the row where it is missing: no signal is absent silently."""
    texts = {
        Hint.ANSWER: task.answer,
        Hint.SOLUTION: task.solution,
        Hint.TRAJECTORY: task.trajectory,
        Hint.PRIVILEGED: task.privileged,
        Hint.GRADER: task.looked_up,
    }
    text = texts[kind]
    if text is None or not text.strip():
        raise ValueError(f"row {task.row} has no {kind}, which the teacher's hint needs")
    return text


def placebo_hint(tasks: Sequence[Task], *, index: int, kind: Hint, offset: int) -> str:
    """The hint of the nearest row, counted on from `index + offset`, that says something else than the row's own.

    ValueError where all rows say the same: then no placebo exists.
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
    wanted: Hint,
    count: int,
    generator: torch.Generator,
) -> list[tuple[str, ...]]:
    """Up to `count` siblings' completions for each sequence, `[B]`: successes, or failures for `wrong_sibling`.

    They are drawn without replacement, in an order that the generator alone decides; an empty tuple where there is
    none. Empty completions, unscored ones and copies of the sequence itself are no hint.
    """
    order_B = torch.randperm(len(texts), generator=generator).tolist()
    rewards = rewards_B.tolist()

    def fits(reward: float) -> bool:
        return reward <= success_above if wanted is Hint.WRONG_SIBLING else reward > success_above  # NaN is neither

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


def strangers_hints(
    hints_B: Sequence[tuple[str, ...]], *, rows_B: Sequence[int], num_generations: int
) -> list[tuple[str, ...]]:
    """For each sequence what those at its place in other rows' groups are told, `[B]`: a placebo from the same step.

    Groups are counted on from its own. What it is told itself is no placebo; nor has it one where it is told nothing.
    """
    found: list[tuple[str, ...]] = []
    for b, own in enumerate(hints_B):
        others = [(b + distance) % len(hints_B) for distance in range(num_generations, len(hints_B), num_generations)]
        strange = dict.fromkeys(hint for other in others if rows_B[other] != rows_B[b] for hint in hints_B[other])
        found.append(tuple(hint for hint in strange if hint not in own) if own else ())
    return found
