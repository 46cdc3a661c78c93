"""Scaling of a GRPO step's cost with the share of dead groups, completion length and group size.

One thread, the starter model. For lengths and group sizes no token ends a completion, so that all have exactly the
requested length.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from backend.settings import STARTER_MODEL
from benchmarks.figures import Figure, figure
from benchmarks.runs import GroupReward, make_settings, run_steps, starter_tasks
from worker.engine.model.policy_loading import load_policy
from worker.engine.types import Task

BLOCKS = 3
STEPS = 3
PROMPTS = 10
DEAD = (0, 2, 4, 6, 8)
LENGTHS = (32, 64, 96, 128, 160)
GROUPS = (4, 8, 12, 16)
FEW_PROMPTS = 4
UNUSED_ID = 2**30
"""An id that no token has."""


def run() -> list[Figure]:
    torch.set_num_threads(1)
    tasks = starter_tasks()
    return [*_dead_groups(tasks), *_lengths(tasks), *_group_sizes(tasks)]


def _dead_groups(tasks: Sequence[Task]) -> list[Figure]:
    """Measure the update time at each share of dead groups, in alternating blocks, and the saving at 40 %."""
    found: dict[int, list[float]] = {dead: [] for dead in DEAD}
    for block in range(BLOCKS):
        for dead in DEAD:
            settings = make_settings("grpo", seed=block, batch_size=PROMPTS, max_steps=STEPS + 1)
            reward = GroupReward(groups=PROMPTS, dead=dead, num_generations=settings.num_generations)
            steps = run_steps(settings, tasks=tasks, reward=reward)
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
    times = {length: _fixed_length_steps(tasks, max_completion_tokens=length, num_generations=8) for length in LENGTHS}
    return _line("completion_length", times, unit="s a token of length")


def _group_sizes(tasks: Sequence[Task]) -> list[Figure]:
    times = {size: _fixed_length_steps(tasks, max_completion_tokens=32, num_generations=size) for size in GROUPS}
    return _line("group_size", times, unit="s a sample")


def _fixed_length_steps(tasks: Sequence[Task], *, max_completion_tokens: int, num_generations: int) -> list[float]:
    """Return the seconds of each step."""
    settings = make_settings(
        "grpo",
        seed=0,
        batch_size=FEW_PROMPTS,
        num_generations=num_generations,
        max_completion_tokens=max_completion_tokens,
        max_steps=BLOCKS * STEPS // 2 + 1,
    )
    policy = replace(load_policy(str(STARTER_MODEL), settings=settings), eos_ids=(UNUSED_ID,))
    reward = GroupReward(groups=FEW_PROMPTS, dead=0, num_generations=num_generations)
    steps = run_steps(settings, tasks=tasks, reward=reward, policy=policy)
    assert all(step["completion_tokens_mean"] == max_completion_tokens for step in steps)
    return [step["wall_s"] for step in steps]


def _line(name: str, times: dict[int, list[float]], *, unit: str) -> list[Figure]:
    """Fit a least-squares line through the fastest steps; return its slope and R^2 as figures."""
    x = np.array(list(times), dtype=np.float64)
    y = np.array([min(steps) for steps in times.values()])
    slope, start = np.polyfit(x, y, 1)
    explained = 1 - float(((y - slope * x - start) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return [
        *(figure(f"step_s_{name}_{at}", steps, unit="s") for at, steps in times.items()),
        Figure(f"step_s_per_{name}", float(slope), unit, len(x), float(slope), float(slope)),
        Figure(f"step_s_per_{name}_r2", explained, "R^2 of the line", len(x), explained, explained),
    ]
