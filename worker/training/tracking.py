"""A run's figures told to trackers while it runs: an observer around another, which hears everything first.

Each tracker has a thread of its own, so a slow one does not hold the training up; one that fails is given up for the
rest of this process, and an event says so. Neither ends the job. What a process that was killed had no time to tell is
told by the next, which begins with all that was kept.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import structlog

from backend.tracking.choice import said_by
from backend.tracking.run import Figures, TrackedRun, Tracker, evaluation_figures, step_figures
from worker.engine.observer import Checkpoint, EvaluationReport, Observer, StepReport
from worker.engine.types import ControlSignal, Ending

WAITING_FIGURES = 1000
"""Beside those that a process begins with."""
LAST_WORDS_S = 15.0
"""Seconds that all trackers together have to hear the rest, when the run has ended."""
log = structlog.get_logger()


class TrackerQueue(Observer, Protocol):
    """An observer that keeps what it hears."""

    def figures(self) -> list[Figures]:
        """Of all steps and evaluations of the run so far, in their order."""


class TrackedObserver:
    """The observer, and the trackers that hear its figures. Faults of theirs become events of the observer's."""

    def __init__(self, observer: TrackerQueue, tellers: list["_TrackerThread"]) -> None:
        self._observer = observer
        self._tellers = tellers
        self._begun = False

    def wish(self) -> ControlSignal:
        return self._observer.wish()

    def step(self, report: StepReport) -> None:
        self._observer.step(report)
        self._tell(step_figures(report.step, report.metrics, at=time.time()))

    def evaluation(self, report: EvaluationReport) -> None:
        self._observer.evaluation(report)
        self._tell(evaluation_figures(asdict(report), at=time.time()))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._observer.checkpoint(checkpoint)

    def event(self, *, level: str, code: str, message: str) -> None:
        self._observer.event(level=level, code=code, message=message)

    def close(self, ending: Ending) -> None:
        """Say how the run ended, and wait a while until the trackers have heard it."""
        _close(self._tellers, finished=ending is Ending.DONE)
        self._say_what_failed()

    def _tell(self, figures: Figures) -> None:
        """The observer has heard them already, so they are the last of its own."""
        if self._begun or not self._tellers:
            for teller in self._tellers:
                teller.tell(figures)
        else:
            so_far, self._begun = self._observer.figures(), True
            for teller in self._tellers:
                teller.begin(so_far)
        self._say_what_failed()

    def _say_what_failed(self) -> None:
        for teller in [teller for teller in self._tellers if teller.fault is not None]:
            self._tellers.remove(teller)
            message = f"The run is not told to {teller.name} any more. {teller.fault}"
            self._observer.event(level="warn", code="tracker_failed", message=message)


@contextmanager
def tracked(
    observer: TrackerQueue, makers: Mapping[str, Callable[[], Tracker]], *, run: TrackedRun
) -> Iterator[TrackedObserver]:
    """The observer with these trackers, to be closed with the run's ending; where the block raises, they hear of it."""
    tellers = [_TrackerThread(name, make, run=run) for name, make in makers.items()]
    try:
        yield TrackedObserver(observer, tellers)
    except BaseException:
        _close(tellers, finished=False)
        raise


def _close(tellers: list["_TrackerThread"], *, finished: bool) -> None:
    for teller in tellers:
        teller.finish(finished)
    deadline = time.monotonic() + LAST_WORDS_S
    for teller in tellers:
        teller.wait(deadline - time.monotonic())


class _TrackerThread:
    """Feeds one tracker from a thread."""

    def __init__(self, name: str, make: Callable[[], Tracker], *, run: TrackedRun) -> None:
        self.name = name
        self.fault: str | None = None
        """What went wrong, as a sentence."""
        self._make = make
        self._run = run
        self._waiting: queue.SimpleQueue[Figures | bool] = queue.SimpleQueue()
        self._most_waiting = WAITING_FIGURES
        self._thread: threading.Thread | None = None

    def begin(self, so_far: Sequence[Figures]) -> None:
        for figures in so_far:
            self._waiting.put(figures)
        self._most_waiting += len(so_far)
        self._thread = threading.Thread(target=self._work, name=f"tell {self.name}", daemon=True)
        self._thread.start()

    def tell(self, figures: Figures) -> None:
        if self._waiting.qsize() >= self._most_waiting:
            self.fault = self.fault or f"It has fallen {WAITING_FIGURES} steps behind."
        self._waiting.put(figures)

    def finish(self, finished: bool) -> None:
        self._waiting.put(finished)

    def wait(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s))
            if self._thread.is_alive():
                self.fault = self.fault or f"It did not take the last figures within {LAST_WORDS_S:g} s."

    def _work(self) -> None:
        try:
            tracker = self._make()
            tracker.begin(self._run)
            while not isinstance(item := self._waiting.get(), bool):
                tracker.tell(item)
                if self.fault is not None:  # it was given up meanwhile
                    return
            tracker.end(finished=item)
        except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises is an event, not the job's end
            self.fault = said_by(error)
            log.warning("a tracker failed", tracker=self.name, job=self._run.id, said=self.fault)
