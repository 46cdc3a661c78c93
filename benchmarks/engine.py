"""Cost of a step with 40 % dead groups: RLSD relative to GRPO, and to a GRPO that skips nothing. One thread.

The starter model, preset `steady`, 10 prompts per step, of which exactly 4 have equal scores. The methods alternate in
blocks of steps on the same rows with the same seeds. The learning rate is so small that the policies stay equal, so
all sample the same completions and the ratios compare equal work. A block is measured by its fastest step, since other
load on the machine only adds time.

`steady` runs its teacher in every step, `paper`, a job's default, only while `lambda` is above 0: its cost is measured
over whole runs. There the methods alternate in segments between checkpoints, and a segment is measured by its median
step and all its diagnostics.
"""

import ctypes
import gc
import os
import re
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import torch

from backend.cli.demo import STARTER
from backend.core.settings.choices import Preset
from backend.settings import STARTER_MODEL
from backend.verifiers.specs import parse_spec
from benchmarks.figures import Figure, figure
from benchmarks.runs import GroupReward, make_settings, run_segment, run_steps, segment_seconds, starter_tasks, total
from worker.engine.model.policy import Policy
from worker.engine.model.policy_loading import load_policy
from worker.sandbox.pool import Sandbox
from worker.training.prepare import sandboxed_reward

BLOCKS = 9
STEPS = 5
PROMPTS = 10
DEAD = 4
JITTER = 1e-6
"""Score difference without practical effect, but enough for a group not to be dead."""
PHASES = ("rollout", "reward", "teacher", "update", "report")
VARIANTS = {"grpo": ("grpo", 0.0), "rlsd": ("rlsd", 0.0), "plain_grpo": ("grpo", JITTER)}
"""Method, and score difference in dead groups."""
RUNS = 3
RUN_STEPS = 200
SEGMENT_STEPS = 10
"""Steps of a whole run before the methods alternate."""
DIAGNOSED_STEPS = 40
MEMORY_RUNS = 3
FREE_IMMEDIATELY = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Environment in which freed tensors are returned to the system, so that the peak measures live tensors. Memory
retained by the allocator varies between runs by up to a tenth, more than between methods."""


def run() -> list[Figure]:
    torch.set_num_threads(1)
    tasks = starter_tasks()
    found: dict[str, list[list[dict[str, float]]]] = defaultdict(list)
    for block in range(BLOCKS):
        # The order changes, so that no method always follows the same other one.
        names = list(VARIANTS)
        for name in names[block % 3 :] + names[: block % 3]:
            found[name].append(_block(name, tasks=tasks, seed=block))
    return [*_figures(found), _whole_runs(tasks), _diagnostics_share(tasks), *_memory(), _reward_share(tasks)]


def _block(  # type: ignore[type-arg]
    name: str, *, tasks: list, seed: int, steps: int = STEPS, policy: Policy | None = None
) -> list[dict[str, float]]:
    method, jitter = VARIANTS[name]
    settings = make_settings(method, seed=seed, batch_size=PROMPTS, max_steps=steps + 1)
    reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations, jitter=jitter)
    found = run_steps(settings, tasks=tasks, reward=reward, policy=policy)
    skipped = 0.0 if jitter else DEAD / PROMPTS
    assert all(abs(step["skipped"] - skipped) < 1e-9 for step in found), "the share of dead groups must be exact"
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
        *(figure(f"{name}_step_s", fastest(name), unit="s") for name in VARIANTS),
        figure("rollout_tokens_per_s", rates, unit="tokens/s"),
        *shares,
    ]


def _whole_runs(tasks: list) -> Figure:  # type: ignore[type-arg]
    """Compare RLSD with GRPO in whole runs with the preset `paper`, in which the teacher is unused after 50 steps."""
    ratios = []
    for seed in range(RUNS):
        seconds = {"grpo": 0.0, "rlsd": 0.0}
        checkpoint_data: dict[str, bytes | None] = {"grpo": None, "rlsd": None}
        for until in range(SEGMENT_STEPS, RUN_STEPS + 1, SEGMENT_STEPS):
            for method in checkpoint_data:
                settings = make_settings(method, seed=seed, preset=Preset.PAPER, batch_size=PROMPTS, max_steps=until)
                reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations)
                steps, checkpoint_data[method] = run_segment(
                    settings, tasks=tasks, reward=reward, resume=checkpoint_data[method]
                )
                seconds[method] += segment_seconds(steps)
        ratios.append(seconds["rlsd"] / seconds["grpo"])
    return figure(f"rlsd_paper_over_grpo_{RUN_STEPS}_steps", ratios, unit="ratio")


def _diagnostics_share(tasks: list, *, steps: int = DIAGNOSED_STEPS) -> Figure:  # type: ignore[type-arg]
    """Measure the time that RLSD's diagnostics at their default interval add, as a share of the steps."""
    shares = []
    for seed in range(RUNS):
        usual = make_settings("rlsd", seed=seed, batch_size=PROMPTS, max_steps=steps)
        runs = []
        for settings in (usual, usual.model_copy(update={"diagnostic_interval": 0})):
            reward = GroupReward(groups=PROMPTS, dead=DEAD, num_generations=settings.num_generations)
            runs.append(run_segment(settings, tasks=tasks, reward=reward)[0])
        more = total(runs[0], "report_s") - total(runs[1], "report_s")
        shares.append(more / segment_seconds(runs[0]))
    return figure("diagnostics_share", shares, unit="share of a step")


def _sequences() -> int:
    return PROMPTS * make_settings("grpo", seed=0).num_generations


def _reward_share(tasks: list) -> Figure:  # type: ignore[type-arg]
    """Measure the share of a step spent on the starter's verifier in the sandbox."""
    grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
    settings = make_settings("grpo", seed=0, max_steps=STEPS + 1)
    with Sandbox() as sandbox:
        steps = run_steps(settings, tasks=tasks, reward=sandboxed_reward(sandbox, parse_spec(grader)))
    return figure("sandbox_reward_share", [step["reward_s"] / step["wall_s"] for step in steps], unit="share of a step")


def _memory() -> list[Figure]:
    """Measure the memory that steps add to a loaded model, and the peak; in separate processes, alternating."""
    added: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    for _ in range(MEMORY_RUNS):
        for name in ("grpo", "rlsd"):
            more, peak = run_memory(name)
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


def run_memory(name: str) -> tuple[float, float]:
    """Return the MB that a run's steps add and its peak, measured in a separate process."""
    command = [sys.executable, "-m", "benchmarks.engine", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | FREE_IMMEDIATELY)
    more, peak = map(float, answer.stdout.split()[-2:])
    return more, peak


def _measure_memory(name: str) -> tuple[float, float]:
    """Return the MB that steps add to the memory of a process after loading, and the peak during them.

    A first step with GRPO, for every method, triggers all lazy loading, which must not be attributed to the steps.
    """
    settings = make_settings(VARIANTS[name][0], seed=0)
    tasks, policy = starter_tasks(), load_policy(str(STARTER_MODEL), settings=settings)
    _block("grpo", tasks=tasks, seed=0, steps=1, policy=policy)
    before = resting_mb()
    _block(name, tasks=tasks, seed=0, policy=policy)
    peak = peak_mb()
    assert peak > before, "the peak while loading hides what a step adds"
    return peak - before, peak


def resting_mb() -> float:
    """Return the resident MB after freeing unused memory, and reset the peak.

    Where the system does not support resetting it, this returns the peak so far, and later peaks are visible only if
    higher.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # only in glibc
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """Return the peak resident MB of this process; unlike `getrusage`, without the process before `exec`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(*_measure_memory(sys.argv[1]))
