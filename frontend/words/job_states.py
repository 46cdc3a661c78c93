"""The states of a job in words, and which actions each allows."""

from dataclasses import dataclass
from typing import Literal

Color = Literal["blue", "green", "orange", "red", "gray", "violet"]


@dataclass(frozen=True, slots=True)
class StateLook:
    label: str
    color: Color
    icon: str
    sentence: str
    """What the state means for the user."""


LOOKS = {
    "queued": StateLook("Waiting", "gray", ":material/hourglass_top:", "Waiting for a free worker."),
    "validating_files": StateLook(
        "Starting", "blue", ":material/progress_activity:", "The trainer is loading the model and reading the data."
    ),
    "running": StateLook(
        "Training", "blue", ":material/play_circle:", "The model answers, the verifier scores, the model learns."
    ),
    "pausing": StateLook("Pausing", "orange", ":material/pause_circle:", "Pauses after the current step."),
    "paused": StateLook("Paused", "orange", ":material/pause_circle:", "Resume the job to continue training."),
    "succeeded": StateLook("Done", "green", ":material/check_circle:", "The adapter is ready."),
    "failed": StateLook("Failed", "red", ":material/error:", "The job stopped with an error."),
    "cancelled": StateLook("Cancelled", "gray", ":material/cancel:", "The job was cancelled."),
}
CANCELLING = StateLook("Cancelling", "orange", ":material/cancel:", "Ends after the current step.")
"""The look of a job that is still running but will be cancelled."""
STAGES = {
    "Waiting": ("queued",),
    "Training": ("validating_files", "running", "pausing"),
    "Paused": ("paused",),
    "Done": ("succeeded",),
    "Failed": ("failed",),
    "Cancelled": ("cancelled",),
}
"""Filters of the job list, and the states that each covers."""
ENDED = frozenset({"succeeded", "failed", "cancelled"})
MOVING = frozenset({"queued", "validating_files", "running", "pausing"})
PAUSABLE = frozenset({"queued", "validating_files", "running"})


def look(status: str) -> StateLook:
    return LOOKS.get(status, StateLook(status, "gray", ":material/help:", ""))
