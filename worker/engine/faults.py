"""Owns the faults that end a run and that a person can mend: what happened, where, and which setting to change.

A `Fault` is a ValueError, so whoever does not care for its code treats it as any other refusal of the engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch


class FaultCode(StrEnum):
    """Stable names, which programs may match."""

    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine had no memory left."""
    NOT_FINITE = "not_finite"
    """A loss, gradient or probability became NaN or infinite."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """A row, or a row with its hint, is longer than allowed."""
    CONTEXT_TOO_SHORT = "context_too_short"
    """The model was built for shorter sequences than the settings ask for."""
    NO_CHAT_TEMPLATE = "no_chat_template"
    """The tokenizer cannot turn messages into a prompt."""
    NO_END_OF_SEQUENCE = "no_end_of_sequence"
    """Nothing would end a completion."""
    REMOTE_CODE = "remote_code"
    """The model cannot be loaded without running code that comes with it."""
    UNSAFE_WEIGHTS = "unsafe_weights"
    """The weights come only as a pickle, which can run code when it is opened."""
    MISSING_WEIGHTS = "missing_weights"
    """Weights are absent, or some of them are."""
    NO_PROCESSOR = "no_processor"
    """A model that reads images comes without the processor that prepares them."""
    MODEL_NOT_FOUND = "model_not_found"
    """The hub has no such model, or shows it to others only."""
    HUB_UNREACHABLE = "hub_unreachable"
    """The hub did not answer, and the model is not in this machine's cache."""
    MODEL_NOT_LOADED = "model_not_loaded"
    """Any other reason why a model cannot be used."""


class Fault(ValueError):  # noqa: N818 - the word for it everywhere: events, manifests, the API
    """A run cannot go on. The message says what happened and what to change."""

    def __init__(self, code: FaultCode, message: str, *, param: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        """The setting to change, or "model"; None where no single one helps."""


REMEDIES = {
    "loading": ("dtype", "set dtype to bfloat16, take a smaller model, or a machine with more memory"),
    "rollout": (
        "rollout_sequences",
        "lower rollout_sequences first (it costs speed alone), then max_completion_tokens or num_generations",
    ),
    "evaluation": (
        "rollout_sequences",
        "lower rollout_sequences first (it costs speed alone), then max_completion_tokens or eval_samples",
    ),
    "teacher": (
        "micro_batch_tokens",
        "lower micro_batch_tokens first (it costs speed alone), then max_completion_tokens, or give shorter hints",
    ),
    "update": (
        "micro_batch_tokens",
        "lower micro_batch_tokens or switch gradient_checkpointing on (both cost speed alone), then lower lora.r",
    ),
    "report": (
        "diagnostic_interval",
        "lower micro_batch_tokens (it costs speed alone), or set diagnostic_interval to 0 to go without these passes",
    ),
}
"""By phase of a run: the setting that helps there, and what to do in words."""
ELSEWHERE = ("batch_size", "lower batch_size, num_generations or max_completion_tokens")
PHASES = {
    "loading": "while the model was loaded",
    "rollout": "while completions were sampled",
    "evaluation": "while held-out questions were answered",
    "reward": "while completions were scored",
    "teacher": "while the teacher read the completions",
    "update": "in the update of the adapter",
    "report": "while the diagnostics were computed",
}
MEMORY_SIGNS = ("DefaultCPUAllocator: ", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What runtime errors say that are about memory without being of a class of their own."""


@contextmanager
def memory_named(phase: str) -> Iterator[None]:
    """Running out of memory inside the block is a Fault that names the phase and what helps in it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_about_memory(error):
            raise
        param, remedy = REMEDIES.get(phase, ELSEWHERE)
        said = next(iter(str(error).strip().splitlines()), "").rstrip(".")
        raise Fault(
            FaultCode.OUT_OF_MEMORY,
            f"memory ran out {PHASES.get(phase, f'in the phase {phase}')}: {remedy}{f' ({said:.200})' if said else ''}",
            param=param,
        ) from error


def is_about_memory(error: Exception) -> bool:
    """Whether this is the end of the device's or the machine's memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in MEMORY_SIGNS)


def not_finite(where: str) -> Fault:
    """The fault of an update whose numbers became NaN or infinite; `where` says which and when."""
    return Fault(
        FaultCode.NOT_FINITE,
        f"{where} is not a finite number, so no weight was moved: lower learning_rate or max_grad_norm; with dtype "
        "bfloat16 try float32",
        param="learning_rate",
    )


def not_a_probability(*, trained: bool) -> Fault:
    """The fault of a model whose answers are not numbers: what training made of it, or what it came as."""
    if trained:
        return Fault(
            FaultCode.NOT_FINITE,
            "the model's probabilities are not numbers any more since training moved its weights: lower learning_rate "
            "or max_grad_norm; with dtype bfloat16 try float32",
            param="learning_rate",
        )
    return Fault(
        FaultCode.NOT_FINITE,
        "the model's probabilities are not numbers: with dtype bfloat16 try float32; in float32 its weights are "
        "damaged, so take a fresh copy",
        param="dtype",
    )
