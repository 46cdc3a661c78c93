"""The signal to a run from outside, and the level of what it tells."""

from enum import StrEnum
from typing import Literal


class ControlSignal(StrEnum):
    """Command to a run, which reads it between steps."""

    RUN = "run"
    """Continue."""
    PAUSE = "pause"
    """Stop with a checkpoint; the run will be resumed."""
    CANCEL = "cancel"
    """Stop with a checkpoint; the run will not be resumed."""


EventLevel = Literal["info", "warn", "error"]
"""How much an event asks for attention, as in OpenAI's events."""
