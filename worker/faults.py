"""Maps an exception, or an early end of a run, to a job's error: code, message, and the setting to change.

Used by queued jobs and `rlsd train` alike.
"""

import torch

from backend.core.settings.spec import RlsdSettings
from backend.db.base import Json
from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from worker.engine.faults import Fault, FaultCode
from worker.engine.types import Ending

PAUSES: dict[Ending, Json] = {
    Ending.VERIFIER_FAULTS: {
        "code": "verifier_faults",
        "message": "Paused: the verifier failed or timed out too often. Fix the verifier and create a new job, or "
        "resume this one once the service it depends on is available again.",
        "param": f"{X_RLSD}.max_error_share",
    },
    Ending.NO_SIGNAL: {
        "code": "no_signal",
        "message": "Paused: many consecutive steps had no training signal. The preceding event explains why. Resume "
        "to try as many steps again.",
        "param": f"{X_RLSD}.max_dead_steps",
    },
}
"""Errors of runs that paused by themselves."""


def classify(error: Exception) -> Json:
    """Return `{code, message, param}` for the exception that ended a run."""
    if isinstance(error, AppError):
        return {"code": error.code or "invalid_value", "message": error.message, "param": error.param}
    if isinstance(error, Fault):
        return {"code": str(error.code), "message": as_sentence(error.message), "param": _api_name(error.param)}
    if isinstance(error, MemoryError | torch.OutOfMemoryError):  # outside every phase of a step
        message = "Out of memory: lower batch_size, num_generations or max_completion_tokens."
        return {"code": str(FaultCode.OUT_OF_MEMORY), "message": message, "param": f"{X_RLSD}.batch_size"}
    if isinstance(error, ValueError):
        return {"code": "invalid_setting", "message": as_sentence(str(error)), "param": None}
    return {"code": "crash", "message": f"The trainer crashed: {type(error).__name__}: {error}", "param": None}


def as_sentence(text: str) -> str:
    """Capitalise the text and end it with a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _api_name(param: str | None) -> str | None:
    """Return the request's parameter for a fault's: a setting of the engine, by its name in Python, or the model."""
    if param is None or param == "model":
        return param
    field = RlsdSettings.model_fields.get(param)
    return f"{X_RLSD}.{param if field is None else field.alias or param}"
