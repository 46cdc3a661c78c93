"""Helpers of the engine's benchmarks: short, timed runs on the starter's rows, with rewards that control which groups
have a signal.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from backend.cli.demo import STARTER
from backend.core.control import ControlSignal
from backend.core.settings.choices import Preset
from backend.core.settings.spec import PRESETS, RlsdSettings
from backend.datasets.rows.rows import read_rows
from backend.settings import STARTER_MODEL
from worker.engine import loop
from worker.engine.experiment import Experiment
from worker.engine.model.policy import Policy
from worker.engine.model.policy_loading import load_policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.settings import Settings
from worker.engine.types import Completion, Reward, Task
from worker.training.prepare import engine_settings, tasks_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score record."""

    score: float | None
    status: str = "ok"
    reason: str | None = None
    components: dict[str, float] = field(default_factory=dict)


class GroupReward:
    """Reward under which the first `dead` groups of a step have equal scores, and all others are half right half wrong.

    `jitter` is a difference between the scores of a dead group that makes the trainer run it, as if nothing were
    skipped. Group means are subtracted, so its effect on training is negligible.
    """

    def __init__(self, *, groups: int, dead: int, num_generations: int, jitter: float = 0.0) -> None:
        self.groups, self.dead, self.num_generations, self.jitter = groups, dead, num_generations, jitter
        self.count = 0

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        return [Verdict(self._next()) for _ in completions]

    def _next(self) -> float:
        group, sample = divmod(self.count, self.num_generations)
        self.count += 1
        if group % self.groups < self.dead:
            return 1.0 + self.jitter * sample
        return float(sample % 2)


class StepTimes:
    """Observer that records the newest checkpoint and each step's metrics, with the time since the previous step as
    `wall_s`.
    """

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.checkpoint_data: bytes | None = None
        self.last = time.perf_counter()

    def control_signal(self) -> ControlSignal:
        return ControlSignal.RUN

    def step(self, report: StepReport) -> None:
        now = time.perf_counter()
        self.metrics.append(report.metrics | {"wall_s": now - self.last})
        self.last = time.perf_counter()

    def evaluation(self, report: EvaluationReport) -> None: ...

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoint_data = checkpoint.data

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message}")


def make_settings(method: str, *, seed: int, preset: Preset = Preset.STEADY, **changes: object) -> Settings:
    """Return the settings of the starter's job with a preset, and too small a learning rate to change the policy."""
    job = json.loads((STARTER / "job.json").read_text())["method"]["reinforcement"]["x_rlsd"]
    values = {**PRESETS[preset].values, **job, "method": method, "learning_rate": 1e-12, **changes}
    return engine_settings(RlsdSettings.model_validate(values), seed=seed)


def starter_tasks() -> list[Task]:
    with (STARTER / "train.jsonl").open("rb") as file:
        rows = read_rows(file)
    spec = RlsdSettings.model_validate({})
    return tasks_of(rows, spec=spec, verifier=None, seed=0, validation=rows)[0]


def run_steps(
    settings: Settings,
    *,
    tasks: Sequence[Task],
    reward: Reward,
    model: str = str(STARTER_MODEL),
    policy: Policy | None = None,
) -> list[dict[str, float]]:
    """Run and return the metrics of all steps but the first, which is the warm-up."""
    return run_segment(settings, tasks=tasks, reward=reward, model=model, policy=policy)[0][1:]


def run_segment(
    settings: Settings,
    *,
    tasks: Sequence[Task],
    reward: Reward,
    model: str = str(STARTER_MODEL),
    policy: Policy | None = None,
    resume: bytes | None = None,
) -> tuple[list[dict[str, float]], bytes | None]:
    """Run from a checkpoint to `max_steps`. Returns the metrics of the steps and the last checkpoint.

    The first step's `wall_s` includes loading.
    """
    observer = StepTimes()
    policy = policy or load_policy(model, settings=settings)
    experiment = Experiment(settings=settings, policy=policy, tasks=tasks, held_out=[], reward=reward)
    loop.run(experiment, observer=observer, resume=resume)
    return observer.metrics, observer.checkpoint_data


def segment_seconds(steps: Sequence[dict[str, float]]) -> float:
    """Return the seconds of a segment: the median step without its report, times the steps, plus all reports.

    The median alone would miss the diagnostics, which only a few steps have.
    """
    return len(steps) * median(step["wall_s"] - step["report_s"] for step in steps) + total(steps, "report_s")


def total(steps: Sequence[dict[str, float]], name: str) -> float:
    """Sum a metric over steps."""
    return sum(step.get(name, 0.0) for step in steps)
