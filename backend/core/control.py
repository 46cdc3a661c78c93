"""The signal to a run from outside."""

from enum import StrEnum


class ControlSignal(StrEnum):
    """Command to a run, which reads it between steps."""

    RUN = "run"
    """Continue."""
    PAUSE = "pause"
    """Stop with a checkpoint; the run will be resumed."""
    CANCEL = "cancel"
    """Stop with a checkpoint; the run will not be resumed."""
