"""Runs: what identifies one, how it is made with the engine, and the file that keeps them, a line each."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning.configurations import CONFIGURATIONS, Configuration, settings_of
from benchmarks.learning.task import HELD_OUT_FROM, LearningTask
from worker.engine import loop
from worker.engine.model.policy import load_policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.types import Completion, ControlSignal, Ending
from worker.training.prepare import engine_settings

RUNS = Path(__file__).parent / "runs.jsonl"
SHOWN = 4
"""Completions kept of the first and of the last evaluation."""


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """Two runs with one key are the same run."""

    task: str
    method: str
    hint: str
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run, as it stands in the file."""

    key: RunKey
    steps: int
    sequences_per_step: int
    evaluations: list[tuple[int, float]]
    """(optimizer steps taken, held-out accuracy)."""
    leakage: float
    """Share of the last evaluation's completions."""
    base_leakage: float
    """The same before training."""
    training_leakage: float
    """Share of all completions trained on."""
    rewards: list[float]
    """Mean reward of each step's completions."""
    seconds: float
    samples: dict[str, list[str]]
    """Some completions "before" and "after"."""
    values: dict[str, Any] = field(default_factory=dict)
    """The settings that make the configuration."""

    @property
    def final(self) -> float:
        """Held-out accuracy after the last step."""
        return self.evaluations[-1][1]

    @property
    def peak(self) -> float:
        """The highest held-out accuracy on the way."""
        return max(accuracy for _, accuracy in self.evaluations)

    def as_line(self) -> str:
        """One line of JSON, the key's fields first."""
        fields = asdict(self)
        return json.dumps({**fields.pop("key"), "final": self.final, **fields})

    @classmethod
    def from_line(cls, line: str) -> "Run":
        """The opposite of `as_line`."""
        fields = json.loads(line)
        fields.pop("final")
        key = RunKey(**{name: fields.pop(name) for name in RunKey.__dataclass_fields__})
        fields["evaluations"] = [(int(step), float(mean)) for step, mean in fields["evaluations"]]
        return cls(key=key, **fields)


def read_runs(path: Path) -> list[Run]:
    """All finished runs; none where there is no file. A last line that was cut off while being written is no run."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Run.from_line(line) for line in lines[:-1] if line]


def valid_runs(runs: Iterable[Run], *, task: LearningTask) -> list[Run]:
    """The task's runs that were made with the budget and the configurations there are now."""
    budget = task.budget
    wanted = (task.name, budget.steps, budget.batch_size * budget.num_generations)
    values = {(c.name, c.hint): _as_stored(c.values) for c in CONFIGURATIONS}
    return [
        run
        for run in runs
        if (run.key.task, run.steps, run.sequences_per_step) == wanted
        and _as_stored(run.values) == values.get((run.key.method, run.key.hint))
    ]


def _as_stored(values: Mapping[str, Any]) -> object:
    return json.loads(json.dumps(dict(values)))


def same_start(run: Run, kept: Iterable[Run]) -> bool:
    """Whether it began where the kept runs of its task and seed began: else it is of another model, and no pair.

    A task's model is made anew where its folder is not there, and floats differ between processors.
    """
    others = (other for other in kept if (other.key.task, other.key.seed) == (run.key.task, run.key.seed))
    return all(other.evaluations[0] == run.evaluations[0] for other in others)


def append_run(path: Path, run: Run) -> None:
    """Add a run behind the last whole line."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if kept and not kept.endswith("\n"):
        path.write_text(kept[: kept.rfind("\n") + 1], encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(run.as_line() + "\n")


def missing(wanted: Iterable[RunKey], *, done: Iterable[Run]) -> list[RunKey]:
    """What has not been run, in the order wanted."""
    there = {run.key for run in done}
    return [key for key in wanted if key not in there]


def steps_to(target: float, evaluations: Sequence[tuple[int, float]]) -> float | None:
    """When the accuracy first reaches the target, a straight line drawn between evaluations; None: never."""
    before: tuple[int, float] | None = None
    for step, accuracy in evaluations:
        if accuracy >= target:
            if before is None:
                return float(step)
            return before[0] + (step - before[0]) * (target - before[1]) / (accuracy - before[1])
        before = (step, accuracy)
    return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score record as the engine wants it."""

    score: float
    status: str = "ok"
    reason: str | None = None


class Witness:
    """Reward and observer in one: it sees every completion and hears every report."""

    def __init__(self, task: LearningTask) -> None:
        self.task = task
        self.evaluations: list[tuple[int, float]] = []
        self.leakages: list[float] = []
        self.rewards: list[float] = []
        self.samples: dict[str, list[str]] = {}
        self._asked: list[str] = []
        self._trained: list[bool] = []

    def reward(self, completions: Sequence[Completion]) -> list[Verdict]:
        for completion in completions:
            if completion.task.row >= HELD_OUT_FROM:
                self._asked.append(completion.text)
            else:
                self._trained.append(self.task.leaks(completion.text))
        return [Verdict(self.task.grade(completion.text, completion.task)) for completion in completions]

    @property
    def training_leakage(self) -> float:
        return _share(self._trained)

    def wish(self) -> ControlSignal:
        return ControlSignal.CONTINUE

    def step(self, report: StepReport) -> None:
        self.rewards.append(round(report.metrics["reward_mean"], 4))

    def evaluation(self, report: EvaluationReport) -> None:
        self.evaluations.append((report.step, round(report.mean, 5)))
        self.leakages.append(_share([self.task.leaks(text) for text in self._asked]))
        if report.phase != "interim":
            self.samples["before" if report.phase == "baseline" else "after"] = self._asked[:SHOWN]
        self._asked.clear()

    def checkpoint(self, checkpoint: Checkpoint) -> None: ...

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message}", flush=True)


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / max(1, len(flags)), 5)


def carry_out(task: LearningTask, configuration: Configuration, *, learning_rate: float, seed: int) -> Run:
    """Train once, on one thread. A seed means the same row order, random numbers and adapter for every method."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    spec = settings_of(configuration, task=task, learning_rate=learning_rate)
    settings = engine_settings(spec, seed=seed)
    witness = Witness(task)
    ending = loop.run(
        settings,
        policy=load_policy(str(task.model), settings=settings),
        tasks=task.train,
        held_out=task.held_out,
        reward=witness.reward,
        observer=witness,
        resume=None,
    )
    if ending is not Ending.DONE:
        raise RuntimeError(f"{task.name} {configuration.key} seed {seed} ended early: {ending}")
    return Run(
        key=RunKey(task.name, configuration.name, configuration.hint, learning_rate, seed),
        steps=settings.max_steps,
        sequences_per_step=settings.batch_size * settings.num_generations,
        evaluations=witness.evaluations,
        leakage=witness.leakages[-1],
        base_leakage=witness.leakages[0],
        training_leakage=witness.training_leakage,
        rewards=witness.rewards,
        seconds=round(time.perf_counter() - started, 2),
        samples=witness.samples,
        values=dict(configuration.values),
    )
