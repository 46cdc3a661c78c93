"""Practice (PSP, arXiv 2609.29051): questions that the model mostly fails are sampled once more, with a hint.

```
share right of a group <= below:   y_1 .. y_G ~ P(. | x, r),  J of GRPO on log P(y | x, r);  the failed group is dropped
```

The practised group takes the place of the failed one in the step's batch, under its own prompt: no loss crosses from
one prompt to the other. docs/rlsd.md section 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.engine.rollouts.prompts import Prompt, PromptBuilder
from worker.engine.rollouts.reward import Scored
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.settings import Settings
from worker.engine.types import Task


@dataclass(frozen=True, slots=True)
class PractisedGroups:
    """The groups of a step that were sampled again with a hint."""

    groups: tuple[int, ...]
    """Their places in the batch, those of the failed groups."""
    rollouts: Rollouts
    scored: Scored


def practice_prompts(
    tasks: Sequence[Task], *, hints: Mapping[int, str], prompt_builder: PromptBuilder
) -> dict[int, Prompt]:
    """Build the prompts with their hint, by row, as the teacher's are built; without those that are too long."""
    contexts = {task.row: prompt_builder.try_with_hint(task, hint=hints[task.row]) for task in tasks}
    return {
        task.row: Prompt(task, context, hint=hints[task.row])
        for task in tasks
        if (context := contexts[task.row]) is not None
    }


def failed_groups(
    rollouts: Rollouts, scored: Scored, *, prompts: Mapping[int, Prompt], settings: Settings
) -> list[int]:
    """Return the groups to practise: at most `practice.below` of their scored completions were right.

    Not those without any score, nor those whose row has no prompt with a hint.
    """
    if settings.practice is None:
        return []
    rewards_PG = scored.rewards_B.view(-1, rollouts.num_generations)
    # 0 / 0 is NaN, which is not below anything.
    right_P = (rewards_PG > settings.success_above).sum(1).double() / (~rewards_PG.isnan()).sum(1)
    failed = (right_P <= settings.practice.below).nonzero().squeeze(1).tolist()
    return [group for group in failed if rollouts.prompts[group].task.row in prompts]
