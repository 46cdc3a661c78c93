"""What the engine's benchmarks share: short runs on the starter's rows, timed from outside, with rewards that decide
which groups of a step have a signal.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from backend.cli.demo import STARTER
from backend.datasets.rows.rows import read_rows
from backend.jobs.spec import PRESETS, Preset, RlsdSettings
from backend.settings import STARTER_MODEL
from worker.engine import loop
from worker.engine.model.policy import Policy, load_policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.settings import Settings
from worker.engine.types import Completion, ControlSignal, Reward, Task
from worker.training.prepare import engine_settings, tasks_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score record."""

    score: float | None
    status: str = "ok"
    reason: str | None = None


class GroupReward:
    """In each step the first groups, `dead` of them, score all the same, and every other group half right half wrong.

    `tremble` sets the scores of dead groups apart by that much, so that a trainer must run them: this is what a trainer
    does that skips nothing. Group means are taken away, so nothing is learnt from it that matters.
    """

    def __init__(self, *, groups: int, dead: int, num_generations: int, tremble: float = 0.0) -> None:
        self.groups, self.dead, self.num_generations, self.tremble = groups, dead, num_generations, tremble
        self.seen = 0

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        return [Verdict(self._next()) for _ in completions]

    def _next(self) -> float:
        group, sample = divmod(self.seen, self.num_generations)
        self.seen += 1
        if group % self.groups < self.dead:
            return 1.0 + self.tremble * sample
        return float(sample % 2)


class StepTimes:
    """An observer that keeps the metrics of each step, with the time since the one before as `wall_s`, and the newest
    checkpoint.
    """

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.reached: bytes | None = None
        self.last = time.perf_counter()

    def wish(self) -> ControlSignal:
        return ControlSignal.CONTINUE

    def step(self, report: StepReport) -> None:
        now = time.perf_counter()
        self.metrics.append(report.metrics | {"wall_s": now - self.last})
        self.last = time.perf_counter()

    def evaluation(self, report: EvaluationReport) -> None: ...

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.reached = checkpoint.data

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message}")


def settings_of(method: str, *, seed: int, preset: Preset = Preset.STEADY, **changes: object) -> Settings:
    """The starter's job with a preset; the learning rate is so small that the policy stays what it is."""
    job = json.loads((STARTER / "job.json").read_text())["method"]["reinforcement"]["x_rlsd"]
    values = PRESETS[preset] | job | {"method": method, "learning_rate": 1e-12}
    return replace(engine_settings(RlsdSettings.model_validate(values), seed=seed), **changes)  # type: ignore[arg-type]


def starter_tasks() -> list[Task]:
    with (STARTER / "train.jsonl").open("rb") as file:
        rows = read_rows(file)
    spec = RlsdSettings.model_validate({})
    return tasks_of(rows, spec=spec, verifier=None, seed=0, validation=rows)[0]


def steps_of(
    settings: Settings,
    *,
    tasks: Sequence[Task],
    reward: Reward,
    model: str = str(STARTER_MODEL),
    policy: Policy | None = None,
) -> list[dict[str, float]]:
    """The metrics of a run's steps; the first, which also warms up, is left out."""
    return stretch_of(settings, tasks=tasks, reward=reward, model=model, policy=policy)[0][1:]


def stretch_of(
    settings: Settings,
    *,
    tasks: Sequence[Task],
    reward: Reward,
    model: str = str(STARTER_MODEL),
    policy: Policy | None = None,
    resume: bytes | None = None,
) -> tuple[list[dict[str, float]], bytes | None]:
    """The metrics of all steps from a checkpoint to `max_steps`, and the checkpoint made there.

    The first step's `wall_s` holds the loading too.
    """
    observer = StepTimes()
    policy = policy or load_policy(model, settings=settings)
    loop.run(settings, policy=policy, tasks=tasks, held_out=[], reward=reward, observer=observer, resume=resume)
    return observer.metrics, observer.reached


def seconds_of(steps: Sequence[dict[str, float]]) -> float:
    """What the steps of a stretch took: a median step for each, and the reports as they were.

    A median alone would not see the diagnostics, which only few steps have.
    """
    return len(steps) * median(step["wall_s"] - step["report_s"] for step in steps) + total(steps, "report_s")


def total(steps: Sequence[dict[str, float]], name: str) -> float:
    """A number's sum over steps."""
    return sum(step.get(name, 0.0) for step in steps)
