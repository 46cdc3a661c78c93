"""Sends a run's figures to trackers during the run, through an observer that wraps another.

Each tracker has its own thread, so a slow one does not delay training; one that fails is dropped for the rest of this
process, with an event. Neither ends the job. Figures that a killed process could not send are sent by the next one,
which starts with the whole history.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import structlog

from backend.core.control import ControlSignal, EventLevel
from backend.tracking.choice import error_summary
from backend.tracking.run import Figures, TrackedRun, Tracker, evaluation_figures, is_repeated, step_figures
from worker.engine.observer import Checkpoint, EvaluationReport, Observer, StepReport
from worker.engine.types import Ending

MAX_QUEUED_FIGURES = 1000
"""In addition to the history with which a process starts."""
FLUSH_S = 15.0
"""Seconds that all trackers together have to take the remaining figures after the run."""
log = structlog.get_logger()


class RecordingObserver(Observer, Protocol):
    """An observer that stores the reports it receives."""

    def figures(self) -> list[Figures]:
        """Figures of all steps and evaluations of the run so far, in order."""


class TrackedObserver:
    """An observer that also sends figures to trackers. Faults of trackers become events of the observer."""

    def __init__(self, observer: RecordingObserver, threads: list["_TrackerThread"]) -> None:
        self._observer = observer
        self._threads = threads
        self._started = False

    def control_signal(self) -> ControlSignal:
        return self._observer.control_signal()

    def step(self, report: StepReport) -> None:
        self._observer.step(report)
        self._log(step_figures(report.step, report.metrics, at=time.time()))

    def evaluation(self, report: EvaluationReport) -> None:
        self._observer.evaluation(report)
        result = asdict(report)
        if not is_repeated(result):
            self._log(evaluation_figures(result, at=time.time()))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._observer.checkpoint(checkpoint)

    def event(self, *, level: EventLevel, code: str, message: str) -> None:
        self._observer.event(level=level, code=code, message=message)

    def close(self, ending: Ending) -> None:
        """Report the run's ending to the trackers, and wait up to `FLUSH_S` for them."""
        _close_threads(self._threads, finished=ending is Ending.DONE)
        self._report_failures()

    def _log(self, figures: Figures) -> None:
        """Send figures. The observer has stored them already, so the first call sends its whole history."""
        if self._started or not self._threads:
            for thread in self._threads:
                thread.put(figures)
        else:
            history, self._started = self._observer.figures(), True
            for thread in self._threads:
                thread.begin(history)
        self._report_failures()

    def _report_failures(self) -> None:
        for thread in [thread for thread in self._threads if thread.fault is not None]:
            self._threads.remove(thread)
            message = f"The run is no longer reported to {thread.name}. {thread.fault}"
            self._observer.event(level="warn", code="tracker_failed", message=message)


@contextmanager
def tracked(
    observer: RecordingObserver, makers: Mapping[str, Callable[[], Tracker]], *, run: TrackedRun
) -> Iterator[TrackedObserver]:
    """Yield the observer with these trackers; the caller closes it with the run's ending. An error marks it failed."""
    threads = [_TrackerThread(name, make, run=run) for name, make in makers.items()]
    try:
        yield TrackedObserver(observer, threads)
    except BaseException:
        _close_threads(threads, finished=False)
        raise


def _close_threads(threads: list["_TrackerThread"], *, finished: bool) -> None:
    for thread in threads:
        thread.finish(finished)
    deadline = time.monotonic() + FLUSH_S
    for thread in threads:
        thread.wait(deadline - time.monotonic())


class _TrackerThread:
    """Thread that feeds one tracker."""

    def __init__(self, name: str, make: Callable[[], Tracker], *, run: TrackedRun) -> None:
        self.name = name
        self.fault: str | None = None
        """The tracker's error, as a sentence."""
        self._make = make
        self._run = run
        self._queue: queue.SimpleQueue[Figures | bool] = queue.SimpleQueue()
        self._max_queued = MAX_QUEUED_FIGURES
        self._thread: threading.Thread | None = None

    def begin(self, history: Sequence[Figures]) -> None:
        for figures in history:
            self._queue.put(figures)
        self._max_queued += len(history)
        self._thread = threading.Thread(target=self._feed, name=f"tracker {self.name}", daemon=True)
        self._thread.start()

    def put(self, figures: Figures) -> None:
        if self._queue.qsize() >= self._max_queued:
            self.fault = self.fault or f"It has fallen {MAX_QUEUED_FIGURES} steps behind."
        self._queue.put(figures)

    def finish(self, finished: bool) -> None:
        self._queue.put(finished)

    def wait(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s))
            if self._thread.is_alive():
                self.fault = self.fault or f"It did not take the last figures within {FLUSH_S:g} s."

    def _feed(self) -> None:
        try:
            tracker = self._make()
            tracker.begin(self._run)
            while not isinstance(item := self._queue.get(), bool):
                tracker.log(item)
                if self.fault is not None:  # it was dropped in the meantime
                    return
            tracker.end(finished=item)
        except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises is an event, not the job's end
            self.fault = error_summary(error)
            log.warning("tracker failed", tracker=self.name, job=self._run.id, error=self.fault)
