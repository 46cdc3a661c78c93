"""Trackers of a run: they receive everything, delay nothing, and their faults are events."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from backend.core.control import ControlSignal
from backend.tracking.run import Figures, TrackedRun, step_figures
from worker.engine.observer import EvaluationReport, StepReport
from worker.engine.types import Ending
from worker.training import tracking
from worker.training.tracking import tracked

RUN = TrackedRun(id="ftjob-1", name="first")


class FakeObserver:
    """An observer that stores what it receives."""

    def __init__(self, kept: Sequence[int] = ()) -> None:
        self.steps: list[int] = []
        self.events: list[str] = []
        self.kept = [step_figures(number, {}, at=0.0) for number in kept]

    def control_signal(self) -> ControlSignal:
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


class FakeTracker:
    """A tracker that blocks until `may_log` is set, and fails at step `breaks_at`."""

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.may_log = threading.Event()
        self.may_log.set()
        self.breaks_at = breaks_at
        self.received: list[Any] = []

    def begin(self, run: TrackedRun) -> None:
        self.received.append(run.id)

    def log(self, figures: Figures) -> None:
        self.may_log.wait()
        if figures.step == self.breaks_at:
            raise OSError("the line is dead")
        self.received.append(figures.step)

    def end(self, *, finished: bool) -> None:
        self.received.append(finished)


def step(number: int) -> StepReport:
    return StepReport(step=number, metrics={"reward_mean": 0.5}, rollouts=[])


@pytest.mark.parametrize(("ending", "finished"), [(Ending.DONE, True), (Ending.PAUSED, False)])
def test_a_tracker_receives_the_history_each_step_and_the_end(ending: Ending, finished: bool) -> None:
    observer_log, tracker = FakeObserver(kept=[1, 2]), FakeTracker()
    with tracked(observer_log, {"tracker": lambda: tracker}, run=RUN) as observer:
        for number in (3, 4, 5):
            observer.step(step(number))
        assert observer.control_signal() is ControlSignal.PAUSE
        observer.close(ending)
    assert tracker.received == ["ftjob-1", 1, 2, 3, 4, 5, finished]
    assert (observer_log.steps, observer_log.events) == ([3, 4, 5], [])


def test_a_tracker_that_fails_is_one_event_and_the_others_go_on() -> None:
    observer_log, broken, tracker = FakeObserver(), FakeTracker(breaks_at=2), FakeTracker()
    with tracked(observer_log, {"broken": lambda: broken, "tracker": lambda: tracker}, run=RUN) as observer:
        for number in range(1, 50):
            observer.step(step(number))
        observer.close(Ending.DONE)
    assert observer_log.events == [
        "warn tracker_failed The run is no longer reported to broken. OSError: the line is dead"
    ]
    assert broken.received == ["ftjob-1", 1]
    assert tracker.received[-2:] == [49, True]
    assert len(observer_log.steps) == 49


def test_a_tracker_that_hangs_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MAX_QUEUED_FIGURES", 10)
    monkeypatch.setattr(tracking, "FLUSH_S", 0.1)
    observer_log, slow, stuck = FakeObserver(), FakeTracker(), FakeTracker()
    slow.may_log.clear()
    stuck.may_log.clear()
    with tracked(observer_log, {"slow": lambda: slow}, run=RUN) as observer:
        observer.step(step(1))
        observer.close(Ending.DONE)
    assert observer_log.events[0].endswith("It did not take the last figures within 0.1 s.")
    with tracked(observer_log, {"stuck": lambda: stuck}, run=RUN) as observer:
        for number in range(1, 20):
            observer.step(step(number))
        observer.close(Ending.DONE)
    assert observer_log.events[1].endswith("It has fallen 10 steps behind.")
    assert len(observer_log.events) == 2
    slow.may_log.set()
    stuck.may_log.set()


def test_a_run_that_raises_is_reported_as_unfinished_and_no_tracker_starts_without_figures() -> None:
    tracker, unused = FakeTracker(), FakeTracker()
    with (
        pytest.raises(RuntimeError, match="the run"),
        tracked(FakeObserver(), {"tracker": lambda: tracker}, run=RUN) as observer,
    ):
        observer.step(step(1))
        raise RuntimeError("the run")
    assert tracker.received[-1] is False
    with tracked(FakeObserver(), {"unused": lambda: unused}, run=RUN) as observer:
        observer.close(Ending.CANCELLED)
    assert unused.received == []
