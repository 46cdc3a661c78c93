"""Trackers beside a run: they hear everything, hold nothing up, and their faults are events."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from backend.tracking.run import Figures, TrackedRun, step_figures
from worker.engine.observer import EvaluationReport, StepReport
from worker.engine.types import ControlSignal, Ending
from worker.training import tracking
from worker.training.tracking import tracked

RUN = TrackedRun(id="ftjob-1", name="first")


class Notes:
    """An observer that keeps what it hears."""

    def __init__(self, kept: Sequence[int] = ()) -> None:
        self.steps: list[int] = []
        self.events: list[str] = []
        self.kept = [step_figures(number, {}, at=0.0) for number in kept]

    def wish(self) -> ControlSignal:
        return ControlSignal.PAUSE

    def step(self, report: StepReport) -> None:
        self.steps.append(report.step)
        self.kept.append(step_figures(report.step, report.metrics, at=0.0))

    def evaluation(self, report: EvaluationReport) -> None:
        self.steps.append(-report.step)

    def checkpoint(self, checkpoint: Any) -> None:
        self.steps.append(1000)

    def figures(self) -> list[Figures]:
        return list(self.kept)

    def event(self, *, level: str, code: str, message: str) -> None:
        self.events.append(f"{level} {code} {message}")


class Ear:
    """A tracker that waits for its `leave` to listen, and breaks at step `breaks_at`."""

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.leave = threading.Event()
        self.leave.set()
        self.breaks_at = breaks_at
        self.heard: list[Any] = []

    def begin(self, run: TrackedRun) -> None:
        self.heard.append(run.id)

    def tell(self, figures: Figures) -> None:
        self.leave.wait()
        if figures.step == self.breaks_at:
            raise OSError("the line is dead")
        self.heard.append(figures.step)

    def end(self, *, finished: bool) -> None:
        self.heard.append(finished)


def step(number: int) -> StepReport:
    return StepReport(step=number, metrics={"reward_mean": 0.5}, rollouts=[])


@pytest.mark.parametrize(("ending", "finished"), [(Ending.DONE, True), (Ending.PAUSED, False)])
def test_a_tracker_hears_all_that_was_kept_each_step_and_the_end(ending: Ending, finished: bool) -> None:
    notes, ear = Notes(kept=[1, 2]), Ear()
    with tracked(notes, {"ear": lambda: ear}, run=RUN) as observer:
        for number in (3, 4, 5):
            observer.step(step(number))
        assert observer.wish() is ControlSignal.PAUSE
        observer.close(ending)
    assert ear.heard == ["ftjob-1", 1, 2, 3, 4, 5, finished]
    assert (notes.steps, notes.events) == ([3, 4, 5], [])


def test_one_that_breaks_is_one_event_and_the_others_hear_on() -> None:
    notes, broken, ear = Notes(), Ear(breaks_at=2), Ear()
    with tracked(notes, {"broken": lambda: broken, "ear": lambda: ear}, run=RUN) as observer:
        for number in range(1, 50):
            observer.step(step(number))
        observer.close(Ending.DONE)
    assert notes.events == ["warn tracker_failed The run is not told to broken any more. OSError: the line is dead"]
    assert broken.heard == ["ftjob-1", 1]
    assert ear.heard[-2:] == [49, True]
    assert len(notes.steps) == 49


def test_one_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WAITING_FIGURES", 10)
    monkeypatch.setattr(tracking, "LAST_WORDS_S", 0.1)
    notes, late, deaf = Notes(), Ear(), Ear()
    late.leave.clear()
    deaf.leave.clear()
    with tracked(notes, {"late": lambda: late}, run=RUN) as observer:
        observer.step(step(1))
        observer.close(Ending.DONE)
    assert notes.events[0].endswith("It did not take the last figures within 0.1 s.")
    with tracked(notes, {"deaf": lambda: deaf}, run=RUN) as observer:
        for number in range(1, 20):
            observer.step(step(number))
        observer.close(Ending.DONE)
    assert notes.events[1].endswith("It has fallen 10 steps behind.")
    assert len(notes.events) == 2
    late.leave.set()
    deaf.leave.set()


def test_a_run_that_raises_is_told_to_have_stopped_and_nothing_is_begun_without_figures() -> None:
    ear, unused = Ear(), Ear()
    with pytest.raises(RuntimeError, match="the run"), tracked(Notes(), {"ear": lambda: ear}, run=RUN) as observer:
        observer.step(step(1))
        raise RuntimeError("the run")
    assert ear.heard[-1] is False
    with tracked(Notes(), {"unused": lambda: unused}, run=RUN) as observer:
        observer.close(Ending.CANCELLED)
    assert unused.heard == []
