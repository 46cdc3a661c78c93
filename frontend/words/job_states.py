"""The states of a job in words, and what may be asked of it in each."""

from dataclasses import dataclass
from typing import Literal

Color = Literal["blue", "green", "orange", "red", "gray", "violet"]


@dataclass(frozen=True, slots=True)
class StateLook:
    label: str
    color: Color
    icon: str
    sentence: str
    """What it means for the person who waits."""


LOOKS = {
    "queued": StateLook("Waiting", "gray", ":material/hourglass_top:", "Waits for a free worker."),
    "validating_files": StateLook(
        "Starting", "blue", ":material/progress_activity:", "The trainer loads the model and looks at the data."
    ),
    "running": StateLook("Training", "blue", ":material/play_circle:", "The model answers, is judged, and learns."),
    "pausing": StateLook("Pausing", "orange", ":material/pause_circle:", "Will stand still after the current step."),
    "paused": StateLook("Paused", "orange", ":material/pause_circle:", "Stands still; resume it to go on."),
    "succeeded": StateLook("Done", "green", ":material/check_circle:", "The adapter is ready."),
    "failed": StateLook("Failed", "red", ":material/error:", "Ended by a fault."),
    "cancelled": StateLook("Cancelled", "gray", ":material/cancel:", "Ended by a person."),
}
STAGES = {
    "Waiting": ("queued",),
    "Training": ("validating_files", "running", "pausing"),
    "Paused": ("paused",),
    "Done": ("succeeded",),
    "Failed": ("failed",),
    "Cancelled": ("cancelled",),
}
"""What a list of jobs is narrowed to, and the states that it means."""
ENDED = frozenset({"succeeded", "failed", "cancelled"})
MOVING = frozenset({"queued", "validating_files", "running", "pausing"})
PAUSABLE = frozenset({"queued", "validating_files", "running"})


def look(status: str) -> StateLook:
    return LOOKS.get(status, StateLook(status, "gray", ":material/help:", ""))
