"""From an exception, or a run's early end, to what a job says of it: code, message, and the setting to change.

One way for queued jobs and for `rlsd train`.
"""

import torch

from backend.db.base import Json
from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from worker.engine.faults import Fault, FaultCode
from worker.engine.types import Ending

API_NAMES = {"model": "model", "lam": f"{X_RLSD}.lambda"}
"""Where a setting of the engine has another name in the API; the others stand in `x_rlsd` under their own."""

PAUSES: dict[Ending, Json] = {
    Ending.VERIFIER_FAULTS: {
        "code": "verifier_faults",
        "message": "Paused: too many verdicts were errors or timeouts. Mend the verifier and start a new job, or "
        "resume this one if what it needs is back.",
        "param": f"{X_RLSD}.max_error_share",
    },
    Ending.NO_SIGNAL: {
        "code": "no_signal",
        "message": "Paused: for many steps running the scores held nothing to learn from. The event before says why. "
        "Resume to wait for as many steps again.",
        "param": f"{X_RLSD}.max_dead_steps",
    },
}
"""Why a run rests that nobody asked to rest."""


def classified(error: Exception) -> Json:
    """`{code, message, param}` of what ended a run."""
    if isinstance(error, AppError):
        return {"code": error.code or "invalid_value", "message": error.message, "param": error.param}
    if isinstance(error, Fault):
        return {"code": str(error.code), "message": sentence(error.message), "param": _api_name(error.param)}
    if isinstance(error, MemoryError | torch.OutOfMemoryError):  # outside every phase of a step
        message = "Memory ran out: lower batch_size, num_generations or max_completion_tokens."
        return {"code": str(FaultCode.OUT_OF_MEMORY), "message": message, "param": f"{X_RLSD}.batch_size"}
    if isinstance(error, ValueError):
        return {"code": "invalid_setting", "message": sentence(str(error)), "param": None}
    return {"code": "crash", "message": f"The trainer crashed: {type(error).__name__}: {error}", "param": None}


def sentence(text: str) -> str:
    """The engine's words with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _api_name(param: str | None) -> str | None:
    return None if param is None else API_NAMES.get(param, f"{X_RLSD}.{param}")
