"""Faults that end a run and that the user can fix: what happened, where, and which setting to change.

A `Fault` is a ValueError, so callers that ignore its code handle it like any other error of the engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch


class FaultCode(StrEnum):
    """Stable codes, which programs may match."""

    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine ran out of memory."""
    NOT_FINITE = "not_finite"
    """A loss, gradient or probability became NaN or infinite."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """A row's prompt, with or without its hint, exceeds the limit."""
    CONTEXT_TOO_SHORT = "context_too_short"
    """The settings need longer sequences than the model supports."""
    NO_CHAT_TEMPLATE = "no_chat_template"
    """The tokenizer cannot turn messages into a prompt."""
    CHAT_TEMPLATE_REFUSES = "chat_template_refuses"
    """The model's chat template refuses a row's messages, or leaves a part of them out."""
    NO_END_OF_SEQUENCE = "no_end_of_sequence"
    """Neither the model nor its tokenizer defines an end-of-sequence token."""
    REMOTE_CODE = "remote_code"
    """The model cannot be loaded without running code from its repository."""
    UNSAFE_WEIGHTS = "unsafe_weights"
    """The weights are only available as a pickle, which can run code when it is opened."""
    MISSING_WEIGHTS = "missing_weights"
    """Some or all weights are missing."""
    NO_PROCESSOR = "no_processor"
    """A vision-language model lacks its image processor."""
    MODEL_NOT_FOUND = "model_not_found"
    """The hub has no such model, or access to it is restricted."""
    HUB_UNREACHABLE = "hub_unreachable"
    """The hub did not answer, and the model is not in this machine's cache."""
    NOTHING_TO_IMITATE = "nothing_to_imitate"
    """No row has a text that a completion could be."""
    NO_SUCH_LAYER = "no_such_layer"
    """A LoRA target names no layer of the model, or one that cannot be merged."""
    MODEL_NOT_LOADED = "model_not_loaded"
    """Any other reason why a model cannot be used."""


class Fault(ValueError):  # noqa: N818 - named so in events, manifests and the API
    """A run cannot continue. The message contains what happened and what to change."""

    def __init__(self, code: FaultCode, message: str, *, param: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        """The setting to change, or "model"; None where no single one helps."""


REMEDIES = {
    "loading": ("dtype", "set dtype to bfloat16, choose a smaller model, or use a machine with more memory"),
    "rollout": (
        "rollout_sequences",
        "lower rollout_sequences first (this only costs speed), then max_completion_tokens or num_generations",
    ),
    "evaluation": (
        "rollout_sequences",
        "lower rollout_sequences first (this only costs speed), then max_completion_tokens or eval_samples",
    ),
    "teacher": (
        "micro_batch_tokens",
        "lower micro_batch_tokens first (this only costs speed), then max_completion_tokens, or use shorter hints",
    ),
    "update": (
        "micro_batch_tokens",
        "lower micro_batch_tokens or enable gradient_checkpointing (both only cost speed), then lower lora.r",
    ),
    "report": (
        "diagnostic_interval",
        "lower micro_batch_tokens (this only costs speed), or set diagnostic_interval to 0 to skip the diagnostics",
    ),
}
"""By phase of a run: the setting that helps, and the advice."""
DEFAULT_REMEDY = ("batch_size", "lower batch_size, num_generations or max_completion_tokens")
PHASES = {
    "loading": "while loading the model",
    "rollout": "while sampling completions",
    "evaluation": "while evaluating held-out questions",
    "reward": "while scoring completions",
    "teacher": "while the teacher scored the completions",
    "update": "while updating the adapter",
    "report": "while computing diagnostics",
}
MEMORY_ERROR_TEXTS = ("DefaultCPUAllocator: ", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Texts of RuntimeErrors that mean out of memory."""


@contextmanager
def memory_errors_as_faults(phase: str) -> Iterator[None]:
    """Turn out-of-memory errors inside the block into a Fault naming the phase and the setting to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        param, remedy = REMEDIES.get(phase, DEFAULT_REMEDY)
        where = PHASES.get(phase, f"in the phase {phase}")
        detail = next(iter(str(error).strip().splitlines()), "").rstrip(".")
        raise Fault(
            FaultCode.OUT_OF_MEMORY,
            f"out of memory {where}: {remedy}{f' ({detail:.200})' if detail else ''}",
            param=param,
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Check whether an error means that the device or the machine ran out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        sign in str(error) for sign in MEMORY_ERROR_TEXTS
    )


def not_finite(where: str) -> Fault:
    """Return the fault of an update with a NaN or infinite value; `where` names the value and the step."""
    return Fault(
        FaultCode.NOT_FINITE,
        f"{where} is not a finite number, so no weights were changed: lower learning_rate or max_grad_norm, or use "
        "dtype float32 if it is bfloat16",
        param="learning_rate",
    )


def not_a_probability(*, trained: bool) -> Fault:
    """Return the fault of a model whose token probabilities are NaN or infinite, caused by training or by its files."""
    if trained:
        return Fault(
            FaultCode.NOT_FINITE,
            "the model's token probabilities became NaN or infinite during training: lower learning_rate or "
            "max_grad_norm, or use dtype float32 if it is bfloat16",
            param="learning_rate",
        )
    return Fault(
        FaultCode.NOT_FINITE,
        "the model's token probabilities are NaN or infinite: use dtype float32 if it is bfloat16; if it is float32 "
        "already, the weights are damaged, so download the model again",
        param="dtype",
    )
