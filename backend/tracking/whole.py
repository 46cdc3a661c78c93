"""A run told as a whole: its figures from what was kept of a job."""

from collections.abc import Iterable, Mapping
from typing import Any

from backend.errors import AppError
from backend.tracking.choice import said_by
from backend.tracking.run import Figures, TrackedRun, Tracker, evaluation_figures, flat, step_figures


def run_of(job: Mapping[str, Any]) -> TrackedRun:
    """As its trainer would call it."""
    about = {name: job[name] for name in ("model", "seed", "training_file")}
    settings = flat(about | job["method"]["reinforcement"]["x_rlsd"])
    return TrackedRun(id=job["id"], name=job["user_provided_suffix"] or job["id"], settings=settings)


def figures_of(metrics: Iterable[Mapping[str, Any]], evaluations: Iterable[Mapping[str, Any]]) -> list[Figures]:
    """In the order in which they were measured: `{step, values, created_at}` and evaluations with `created_at`."""
    found = [step_figures(item["step"], item["values"], at=item["created_at"]) for item in metrics]
    found += [evaluation_figures(item, at=item["created_at"]) for item in evaluations]
    return sorted(found, key=lambda figures: (figures.step, figures.of_evaluation))


def tell_whole(tracker: Tracker, run: TrackedRun, figures: Iterable[Figures], *, finished: bool) -> None:
    """Raises AppError with what the tracker's library says."""
    try:
        tracker.begin(run)
        for each in figures:
            tracker.tell(each)
        tracker.end(finished=finished)
    except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises
        raise AppError(f"The run could not be told to the tracker. {said_by(error)}", code="tracker_failed") from None
