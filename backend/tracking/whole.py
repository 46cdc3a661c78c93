"""Logging of a whole run at once, from the stored results of a job."""

from collections.abc import Iterable, Mapping
from typing import Any

from backend.errors import AppError
from backend.tracking.choice import error_summary
from backend.tracking.run import Figures, TrackedRun, Tracker, evaluation_figures, flat, is_repeated, step_figures


def run_of(job: Mapping[str, Any]) -> TrackedRun:
    """Return the run as its trainer would log it."""
    basics = {name: job[name] for name in ("model", "seed", "training_file")}
    settings = flat(basics | job["method"]["reinforcement"]["x_rlsd"])
    return TrackedRun(id=job["id"], name=job["user_provided_suffix"] or job["id"], settings=settings)


def figures_of(metrics: Iterable[Mapping[str, Any]], evaluations: Iterable[Mapping[str, Any]]) -> list[Figures]:
    """Return all figures in order, from `{step, values, created_at}` and evaluations with `created_at`."""
    found = [step_figures(item["step"], item["values"], at=item["created_at"]) for item in metrics]
    found += [evaluation_figures(item, at=item["created_at"]) for item in evaluations if not is_repeated(item)]
    return sorted(found, key=lambda figures: (figures.step, figures.of_evaluation))


def log_run(tracker: Tracker, run: TrackedRun, figures: Iterable[Figures], *, finished: bool) -> None:
    """Log a whole run. Raises AppError with the error of the tracker's library."""
    try:
        tracker.begin(run)
        for each in figures:
            tracker.log(each)
        tracker.end(finished=finished)
    except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises
        raise AppError(
            f"The run could not be logged to the tracker. {error_summary(error)}", code="tracker_failed"
        ) from None
