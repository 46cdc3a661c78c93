"""Dtypes of an export: the order in which they are tried, and what is reported of the comparison with the adapter."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backend.db.base import Json
from backend.jobs.exports import ExportDtype, ExportFormat
from worker.engine.export.equivalence import TOLERANCES, Agreement

DTYPES = frozenset(str(dtype) for dtype in ExportDtype)
FROM_COARSEST = list(TOLERANCES)
LEAST_GAIN = 2.0
"""Factor by which a finer dtype reduces the mean difference at least, if rounding is what causes it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A dtype that was tried, with the reasons why the model differs from the adapter; none if it agrees."""

    dtype: str
    found: Agreement
    faults: tuple[str, ...]


def dtypes_to_try(format: ExportFormat, *, native: str, requested: str | None) -> tuple[str, ...]:
    """Return the dtypes in the order in which they are tried: the requested one, then by size.

    Of two 16-bit dtypes, the base model's own comes first.
    """
    halves = sorted((ExportDtype.FLOAT16, ExportDtype.BFLOAT16), key=lambda dtype: dtype != native)
    quantised = (ExportDtype.Q8_0,) if format is ExportFormat.GGUF else ()
    by_size = tuple(str(dtype) for dtype in (*quantised, *halves, ExportDtype.FLOAT32))
    return by_size if requested is None else (requested, *(dtype for dtype in by_size if dtype != requested))


def another_may_agree(trials: Sequence[Trial], *, tokenizer_is_copied: bool) -> bool:
    """Return whether a further dtype may agree where these do not.

    None does if the tokenizer is at fault, or if a finer dtype came no nearer: then rounding is not the cause.
    """
    last = trials[-1]
    if last.found.tokenizer_faults(tokenizer_is_copied=tokenizer_is_copied):
        return False
    coarser = trials[-2:-1]
    return not any(
        FROM_COARSEST.index(before.dtype) < FROM_COARSEST.index(last.dtype)
        and last.found.mean_difference * LEAST_GAIN > before.found.mean_difference
        for before in coarser
    )


def stored_trial(trials: Sequence[Trial], *, requested: str | None) -> Trial | None:
    """Return the trial whose files are kept: the requested dtype, by default the last one tried, if it agrees."""
    chosen = trials[-1] if requested is None else trials[0]
    return None if chosen.faults else chosen


def comparison_json(trials: Sequence[Trial], *, requested: str | None) -> Json:
    """Convert the comparison to JSON. Figures have three digits, so that they hardly differ between machines."""
    chosen = trials[-1] if requested is None else trials[0]
    found = chosen.found
    return {
        "agrees": not chosen.faults,
        "summary": _refusal(chosen, trials) if chosen.faults else _agreement(chosen, trials),
        "dtype": chosen.dtype,
        "tried": [
            {"dtype": trial.dtype, "agrees": not trial.faults, "mean_difference": _figure(trial.found.mean_difference)}
            for trial in trials
        ],
        "prompts": found.prompts,
        "tokens": found.tokens,
        "max_difference": _figure(found.max_difference),
        "mean_difference": _figure(found.mean_difference),
        "greedy_equal": _figure(found.greedy_equal),
        "effect": _figure(found.effect),
        "read_alike": found.read_alike,
        "tolerance": asdict(found.tolerance),
    }


def _agreement(chosen: Trial, trials: Sequence[Trial]) -> str:
    found = chosen.found
    summary = (
        f"The exported model agrees with the adapter: stored as {chosen.dtype}, on {found.tokens} tokens, "
        f"log-probabilities differ by {found.mean_difference:.1e} on average, {found.max_difference:.1e} at most, and "
        f"{found.greedy_equal:.1%} of the most likely tokens are the same."
    )
    if refused := [trial.dtype for trial in trials if trial.faults]:
        summary += f" Stored as {' or '.join(refused)}, it would not agree."
    if found.read_alike < found.prompts:
        summary += (
            f" With transformers' reading of its vocabulary, {found.prompts - found.read_alike} of {found.prompts} "
            "prompts are tokenised differently: test the file in the program you will use it with."
        )
    return summary


def _refusal(chosen: Trial, trials: Sequence[Trial]) -> str:
    summary = (
        f"The exported model differs from the adapter if it is stored as {chosen.dtype}, so it was not stored: "
        f"{'; '.join(chosen.faults)}."
    )
    if not trials[-1].faults:
        return f"{summary} Stored as {trials[-1].dtype}, it agrees: request this dtype."
    tried = " and ".join(trial.dtype for trial in trials)
    return f"{summary} No dtype that was tried ({tried}) agrees: use the adapter on its base model."


def _figure(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None
