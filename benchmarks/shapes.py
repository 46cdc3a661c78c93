"""How the cost of a GRPO step grows: with the share of dead groups, with completion length, with group size.

One thread, the starter model. For lengths and groups nothing ends a completion, so that every one has exactly the
length asked for.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from backend.settings import STARTER_MODEL
from benchmarks.figures import Figure, figure
from benchmarks.runs import GroupReward, settings_of, starter_tasks, steps_of
from worker.engine.model.policy import load_policy
from worker.engine.types import Task

BLOCKS = 3
STEPS = 3
PROMPTS = 10
DEAD = (0, 2, 4, 6, 8)
LENGTHS = (32, 64, 96, 128, 160)
GROUPS = (4, 8, 12, 16)
FEW_PROMPTS = 4
NEVER = 2**30
"""No token has this id."""


def run() -> list[Figure]:
    torch.set_num_threads(1)
    tasks = starter_tasks()
    return [*_dead_groups(tasks), *_lengths(tasks), *_group_sizes(tasks)]


def _dead_groups(tasks: Sequence[Task]) -> list[Figure]:
    """Update time at each share of dead groups, and what 40 % of them save; blocks of all shares in turn."""
    found: dict[int, list[float]] = {dead: [] for dead in DEAD}
    for block in range(BLOCKS):
        for dead in DEAD:
            settings = settings_of("grpo", seed=block, batch_size=PROMPTS, max_steps=STEPS + 1)
            reward = GroupReward(groups=PROMPTS, dead=dead, num_generations=settings.num_generations)
            steps = steps_of(settings, tasks=tasks, reward=reward)
            found[dead].append(min(step["update_s"] for step in steps))
    return [
        *(figure(f"update_s_dead_{dead * 100 // PROMPTS}", times, unit="s") for dead, times in found.items()),
        figure(
            "dead_groups_40_saving",
            [1 - some / none for some, none in zip(found[4], found[0], strict=True)],
            unit="share of the update",
        ),
    ]


def _lengths(tasks: Sequence[Task]) -> list[Figure]:
    times = {length: _unending(tasks, max_completion_tokens=length, num_generations=8) for length in LENGTHS}
    return _line("completion_length", times, unit="s a token of length")


def _group_sizes(tasks: Sequence[Task]) -> list[Figure]:
    times = {size: _unending(tasks, max_completion_tokens=32, num_generations=size) for size in GROUPS}
    return _line("group_size", times, unit="s a sample")


def _unending(tasks: Sequence[Task], *, max_completion_tokens: int, num_generations: int) -> list[float]:
    """Seconds of each step."""
    settings = settings_of(
        "grpo",
        seed=0,
        batch_size=FEW_PROMPTS,
        num_generations=num_generations,
        max_completion_tokens=max_completion_tokens,
        max_steps=BLOCKS * STEPS // 2 + 1,
    )
    policy = replace(load_policy(str(STARTER_MODEL), settings=settings), eos_ids=(NEVER,))
    reward = GroupReward(groups=FEW_PROMPTS, dead=0, num_generations=num_generations)
    steps = steps_of(settings, tasks=tasks, reward=reward, policy=policy)
    assert all(step["completion_tokens_mean"] == max_completion_tokens for step in steps)
    return [step["wall_s"] for step in steps]


def _line(name: str, times: dict[int, list[float]], *, unit: str) -> list[Figure]:
    """Slope of the least-squares line through the fastest steps, and how much of their variance it explains."""
    x = np.array(list(times), dtype=np.float64)
    y = np.array([min(steps) for steps in times.values()])
    slope, start = np.polyfit(x, y, 1)
    explained = 1 - float(((y - slope * x - start) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return [
        *(figure(f"step_s_{name}_{at}", steps, unit="s") for at, steps in times.items()),
        Figure(f"step_s_per_{name}", float(slope), unit, len(x), float(slope), float(slope)),
        Figure(f"step_s_per_{name}_r2", explained, "R^2 of the line", len(x), explained, explained),
    ]
