"""Runs: their keys, their execution with the engine, and the file that stores them, one line each."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from backend.core.control import ControlSignal
from benchmarks.learning.configurations import CONFIGURATIONS, Configuration, settings_of
from benchmarks.learning.task import HELD_OUT_FROM, LearningTask
from worker.engine import loop
from worker.engine.experiment import Experiment
from worker.engine.model.policy_loading import load_policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.types import Completion, Ending
from worker.training.prepare import engine_settings

RUNS = Path(__file__).parent / "runs.jsonl"
KEPT_SAMPLES = 4
"""Completions stored of the first and of the last evaluation."""


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """The identity of a run."""

    task: str
    method: str
    hint: str
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run, as stored in the file."""

    key: RunKey
    steps: int
    sequences_per_step: int
    evaluations: list[tuple[int, float]]
    """(optimizer steps taken, held-out accuracy)."""
    leakage: float
    """Share of leaking completions in the last evaluation."""
    base_leakage: float
    """The same before training."""
    training_leakage: float
    """Share of leaking completions among all trained on."""
    rewards: list[float]
    """Mean reward of each step's completions; empty for imitation, which samples none."""
    seconds: float
    samples: dict[str, list[str]]
    """Some completions, "before" and "after" training."""
    values: dict[str, Any] = field(default_factory=dict)
    """The settings of the configuration."""

    @property
    def final(self) -> float:
        """Held-out accuracy after the last step."""
        return self.evaluations[-1][1]

    @property
    def peak(self) -> float:
        """The highest held-out accuracy of any evaluation."""
        return max(accuracy for _, accuracy in self.evaluations)

    def as_line(self) -> str:
        """Convert the run to one line of JSON, the key's fields first."""
        fields = asdict(self)
        return json.dumps({**fields.pop("key"), "final": self.final, **fields})

    @classmethod
    def from_line(cls, line: str) -> "Run":
        """Parse a line written by `as_line`."""
        fields = json.loads(line)
        fields.pop("final")
        key = RunKey(**{name: fields.pop(name) for name in RunKey.__dataclass_fields__})
        fields["evaluations"] = [(int(step), float(mean)) for step, mean in fields["evaluations"]]
        return cls(key=key, **fields)


def read_runs(path: Path) -> list[Run]:
    """Read all finished runs; empty if there is no file. A last line that was only partly written is ignored."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Run.from_line(line) for line in lines[:-1] if line]


def valid_runs(runs: Iterable[Run], *, task: LearningTask) -> list[Run]:
    """Filter the task's runs that match the current budget and configurations."""
    budget = task.budget
    expected = (task.name, budget.steps, budget.batch_size * budget.num_generations)
    values = {(c.name, c.hint): _as_stored(c.values) for c in CONFIGURATIONS}
    return [
        run
        for run in runs
        if (run.key.task, run.steps, run.sequences_per_step) == expected
        and _as_stored(run.values) == values.get((run.key.method, run.key.hint))
    ]


def _as_stored(values: Mapping[str, Any]) -> object:
    return json.loads(json.dumps(dict(values)))


def same_start(run: Run, kept: Iterable[Run]) -> bool:
    """Whether the run started at the same accuracy as stored runs of its task and seed; if not, its model differs.

    A task's model is trained again if its folder is missing, and floating-point results differ between processors.
    """
    others = (other for other in kept if (other.key.task, other.key.seed) == (run.key.task, run.key.seed))
    return all(other.evaluations[0] == run.evaluations[0] for other in others)


def append_run(path: Path, run: Run) -> None:
    """Append a run after the last complete line."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if kept and not kept.endswith("\n"):
        path.write_text(kept[: kept.rfind("\n") + 1], encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(run.as_line() + "\n")


def missing(keys: Iterable[RunKey], *, done: Iterable[Run]) -> list[RunKey]:
    """Return the keys that have not been run, in order."""
    known = {run.key for run in done}
    return [key for key in keys if key not in known]


def steps_to(target: float, evaluations: Sequence[tuple[int, float]]) -> float | None:
    """Return the step at which accuracy first reaches the target, interpolated linearly; None: never."""
    previous: tuple[int, float] | None = None
    for step, accuracy in evaluations:
        if accuracy >= target:
            if previous is None:
                return float(step)
            return previous[0] + (step - previous[0]) * (target - previous[1]) / (accuracy - previous[1])
        previous = (step, accuracy)
    return None


@dataclass(frozen=True, slots=True)
class TaskScore:
    """A score record in the engine's form."""

    score: float
    status: str = "ok"
    reason: str | None = None
    components: dict[str, float] = field(default_factory=dict)


class RecordingObserver:
    """Reward and observer in one: records every completion and every report."""

    def __init__(self, task: LearningTask) -> None:
        self.task = task
        self.evaluations: list[tuple[int, float]] = []
        self.leakages: list[float] = []
        self.rewards: list[float] = []
        self.samples: dict[str, list[str]] = {}
        self._evaluated: list[str] = []
        self._trained: list[bool] = []

    def reward(self, completions: Sequence[Completion]) -> list[TaskScore]:
        for completion in completions:
            if completion.task.row >= HELD_OUT_FROM:
                self._evaluated.append(completion.text)
            else:
                self._trained.append(self.task.leaks(completion.text))
        return [TaskScore(self.task.grade(completion.text, completion.task)) for completion in completions]

    @property
    def training_leakage(self) -> float:
        return _share(self._trained)

    def control_signal(self) -> ControlSignal:
        return ControlSignal.RUN

    def step(self, report: StepReport) -> None:
        if report.rollouts:  # imitation samples none
            self.rewards.append(round(report.metrics["reward_mean"], 4))

    def evaluation(self, report: EvaluationReport) -> None:
        self.evaluations.append((report.step, round(report.mean, 5)))
        self.leakages.append(_share([self.task.leaks(text) for text in self._evaluated]))
        if report.phase != "interim":
            self.samples["before" if report.phase == "baseline" else "after"] = self._evaluated[:KEPT_SAMPLES]
        self._evaluated.clear()

    def checkpoint(self, checkpoint: Checkpoint) -> None: ...

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message}", flush=True)


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / max(1, len(flags)), 5)


def train_once(task: LearningTask, configuration: Configuration, *, learning_rate: float, seed: int) -> Run:
    """Train once, on one thread. Runs of one seed share row order, random numbers and initial adapter."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    spec = settings_of(configuration, task=task, learning_rate=learning_rate)
    settings = engine_settings(spec, seed=seed)
    recorder = RecordingObserver(task)
    experiment = Experiment(
        settings=settings,
        policy=load_policy(str(task.model), settings=settings),
        tasks=task.train,
        held_out=task.held_out,
        reward=recorder.reward,
    )
    ending = loop.run(experiment, observer=recorder, resume=None)
    if ending is not Ending.DONE:
        raise RuntimeError(f"{task.name} {configuration.key} seed {seed} ended early: {ending}")
    return Run(
        key=RunKey(task.name, configuration.name, configuration.hint, learning_rate, seed),
        steps=settings.max_steps,
        sequences_per_step=settings.batch_size * settings.num_generations,
        evaluations=recorder.evaluations,
        leakage=recorder.leakages[-1],
        base_leakage=recorder.leakages[0],
        training_leakage=recorder.training_leakage,
        rewards=recorder.rewards,
        seconds=round(time.perf_counter() - started, 2),
        samples=recorder.samples,
        values=dict(configuration.values),
    )
