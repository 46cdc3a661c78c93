"""What a step costs where 40 % of the groups are dead: RLSD over GRPO, and over a GRPO that skips nothing. One thread.

The starter model, preset `steady`, 10 prompts a step, of which exactly 4 have equal scores. The methods take turns in
blocks of steps on the same rows with the same seeds. The learning rate is so small that the policies stay equal, so
all sample the same completions and the ratios compare equal work. A block counts by its fastest step: whatever else a
machine does only adds to a step.

`steady` asks its teacher in every step, `paper`, which a job starts with, only while `lambda` lasts: what that costs is
measured over whole runs. There the methods take turns in stretches from checkpoint to checkpoint, and a stretch counts
by its median step and all its diagnostics.
"""

import ctypes
import gc
import os
import re
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from backend.cli.demo import STARTER
from backend.jobs.spec import Preset
from backend.settings import STARTER_MODEL
from backend.verifiers.specs import parse_spec
from benchmarks.figures import Figure, figure
from benchmarks.runs import GroupReward, seconds_of, settings_of, starter_tasks, steps_of, stretch_of, total
from worker.engine.model.policy import Policy, load_policy
from worker.sandbox.pool import Sandbox
from worker.training.prepare import sandboxed_reward

BLOCKS = 9
STEPS = 5
PROMPTS = 10
DEAD = 4
TREMBLE = 1e-6
"""Far too little to matter and enough for a group not to count as dead."""
PHASES = ("rollout", "reward", "teacher", "update", "report")
WAYS = {"grpo": ("grpo", 0.0), "rlsd": ("rlsd", 0.0), "plain_grpo": ("grpo", TREMBLE)}
"""Method and tremble of dead groups."""
RUNS = 3
RUN_STEPS = 200
STRETCH = 10
"""Steps of a whole run that one method takes before the other has its turn."""
DIAGNOSED_STEPS = 40
MEMORY_RUNS = 3
PROMPT_FREEING = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Tensors go back to the system when they are freed, so that a peak is of what is alive at once. What the allocator
would else keep differs from run to run by up to a tenth, more than the methods do."""


def run() -> list[Figure]:
    torch.set_num_threads(1)
    tasks = starter_tasks()
    found: dict[str, list[list[dict[str, float]]]] = defaultdict(list)
    for block in range(BLOCKS):
        # Turns are taken in changing order, so that none always comes after the same other.
        names = list(WAYS)
        for name in names[block % 3 :] + names[: block % 3]:
            found[name].append(_block(name, tasks=tasks, seed=block))
    return [*_figures(found), _whole_runs(tasks), _diagnostics_share(tasks), *_memory(), _reward_share(tasks)]


def _block(  # type: ignore[type-arg]
    name: str, *, tasks: list, seed: int, steps: int = STEPS, policy: Policy | None = None
) -> list[dict[str, float]]:
    method, tremble = WAYS[name]
    settings = settings_of(method, seed=seed, batch_size=PROMPTS, max_steps=steps + 1)
    reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations, tremble=tremble)
    found = steps_of(settings, tasks=tasks, reward=reward, policy=policy)
    skipped = 0.0 if tremble else DEAD / PROMPTS
    assert all(abs(step["skipped"] - skipped) < 1e-9 for step in found), "the share of dead groups is to be exact"
    return found


def _figures(found: dict[str, list[list[dict[str, float]]]]) -> list[Figure]:
    def fastest(name: str) -> list[float]:
        return [min(step["wall_s"] for step in block) for block in found[name]]

    def ratios(above: str, below: str) -> list[float]:
        return [a / b for a, b in zip(fastest(above), fastest(below), strict=True)]

    rates = [
        total(block, "completion_tokens_mean") * _sequences() / total(block, "rollout_s") for block in found["rlsd"]
    ]
    shares = [
        figure(
            f"{name}_{phase}_share",
            [total(block, f"{phase}_s") / total(block, "wall_s") for block in found[name]],
            unit="share of a step",
        )
        for name in ("grpo", "rlsd")
        for phase in PHASES
    ]
    return [
        figure("rlsd_over_grpo_step", ratios("rlsd", "grpo"), unit="ratio"),
        figure("rlsd_over_plain_grpo_step", ratios("rlsd", "plain_grpo"), unit="ratio"),
        *(figure(f"{name}_step_s", fastest(name), unit="s") for name in WAYS),
        figure("rollout_tokens_per_s", rates, unit="tokens/s"),
        *shares,
    ]


def _whole_runs(tasks: list) -> Figure:  # type: ignore[type-arg]
    """RLSD over GRPO in whole runs with the preset `paper`, in which the teacher falls silent after 50 steps."""
    ratios = []
    for seed in range(RUNS):
        taken = {"grpo": 0.0, "rlsd": 0.0}
        reached: dict[str, bytes | None] = {"grpo": None, "rlsd": None}
        for until in range(STRETCH, RUN_STEPS + 1, STRETCH):
            for method in reached:
                settings = settings_of(method, seed=seed, preset=Preset.PAPER, batch_size=PROMPTS, max_steps=until)
                reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations)
                steps, reached[method] = stretch_of(settings, tasks=tasks, reward=reward, resume=reached[method])
                taken[method] += seconds_of(steps)
        ratios.append(taken["rlsd"] / taken["grpo"])
    return figure(f"rlsd_paper_over_grpo_{RUN_STEPS}_steps", ratios, unit="ratio")


def _diagnostics_share(tasks: list, *, steps: int = DIAGNOSED_STEPS) -> Figure:  # type: ignore[type-arg]
    """What RLSD's diagnostics at their usual interval add to the reports of its steps, as a share of the steps."""
    shares = []
    for seed in range(RUNS):
        usual = settings_of("rlsd", seed=seed, batch_size=PROMPTS, max_steps=steps)
        taken = []
        for settings in (usual, replace(usual, diagnostic_interval=0)):
            reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations)
            taken.append(stretch_of(settings, tasks=tasks, reward=reward)[0])
        more = total(taken[0], "report_s") - total(taken[1], "report_s")
        shares.append(more / seconds_of(taken[0]))
    return figure("diagnostics_share", shares, unit="share of a step")


def _sequences() -> int:
    return PROMPTS * settings_of("grpo", seed=0).num_generations


def _reward_share(tasks: list) -> Figure:  # type: ignore[type-arg]
    """The share of a step that waits for the starter's own verifier in the sandbox."""
    grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
    settings = settings_of("grpo", seed=0, max_steps=STEPS + 1)
    with Sandbox() as sandbox:
        steps = steps_of(settings, tasks=tasks, reward=sandboxed_reward(sandbox, parse_spec(grader)))
    return figure("sandbox_reward_share", [step["reward_s"] / step["wall_s"] for step in steps], unit="share of a step")


def _memory() -> list[Figure]:
    """What whole steps add to the memory of a loaded model, and the peak itself; processes of their own, in turns."""
    added: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    for _ in range(MEMORY_RUNS):
        for name in ("grpo", "rlsd"):
            more, peak = memory_of_a_run(name)
            added[name].append(more)
            if name == "grpo":
                peaks.append(peak)
    return [
        figure(
            "rlsd_over_grpo_memory",
            [a / b for a, b in zip(added["rlsd"], added["grpo"], strict=True)],
            unit="ratio of what a step adds",
        ),
        *(figure(f"{name}_step_memory_mb", runs, unit="MB a step adds") for name, runs in added.items()),
        figure("grpo_peak_memory_mb", peaks, unit="MB"),
    ]


def memory_of_a_run(name: str) -> tuple[float, float]:
    """MB that its steps add, and its peak, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | PROMPT_FREEING)
    more, peak = map(float, answer.stdout.split()[-2:])
    return more, peak


def _memory_of(name: str) -> tuple[float, float]:
    """MB that steps add to the memory of a process that has loaded all it needs, and the peak in their course.

    A first step with GRPO, whatever the method, loads what is loaded at first use: it is no step's own.
    """
    settings = settings_of(WAYS[name][0], seed=0)
    tasks, policy = starter_tasks(), load_policy(str(STARTER_MODEL), settings=settings)
    _block("grpo", tasks=tasks, seed=0, steps=1, policy=policy)
    before = resting_mb()
    _block(name, tasks=tasks, seed=0, policy=policy)
    peak = peak_mb()
    assert peak > before, "the peak while loading hides what a step adds"
    return peak - before, peak


def resting_mb() -> float:
    """Memory resident once what is free has been given back; the peak is counted from here on.

    Where the system does not let a process forget its peak, the peak until now stands in for it, and what comes after
    is seen only as far as it is higher.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """Most memory this process has had resident. Unlike `getrusage` it knows nothing of the process before `exec`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(*_memory_of(sys.argv[1]))
