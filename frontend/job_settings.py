"""The settings of a job that the form offers: their words and their order.

Ranges, defaults and descriptions are the API's (its OpenAPI schema). A field left empty is not sent, so the preset
or the default decides.
"""

from dataclasses import dataclass
from typing import Any, Literal

from frontend.shapes import Json

Kind = Literal["whole", "number", "choice", "yes_no"]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    label: str
    kind: Kind
    choices: tuple[str, ...] = ()
    by_preset: bool = False
    """Its default depends on the preset."""


MAIN = (
    Setting("max_steps", "Training steps", "whole"),
    Setting("batch_size", "Questions a step", "whole"),
    Setting("num_generations", "Completions a question", "whole"),
    Setting("max_completion_tokens", "Longest completion (tokens)", "whole"),
    Setting("learning_rate", "Learning rate", "number"),
)
CREDIT = (
    Setting("method", "Method", "choice", ("rlsd", "grpo")),
    Setting("hint", "Hint for the teacher", "choice", ("answer", "solution"), by_preset=True),
    Setting("teacher", "Teacher", "choice", ("snapshot", "base", "live")),
    Setting("teacher_sync_steps", "Steps between teacher snapshots", "whole"),
    Setting("lambda", "Strength λ", "number", by_preset=True),
    Setting("lambda_decay_steps", "Steps until λ is 0 (0: constant)", "whole", by_preset=True),
    Setting("normalise", "Divide weights by their mean", "yes_no", by_preset=True),
    Setting("first_error", "First-error mask", "yes_no", by_preset=True),
)
SAMPLING = (
    Setting("temperature", "Temperature", "number"),
    Setting("max_prompt_tokens", "Longest prompt (tokens)", "whole"),
    Setting("loss", "Averaging of the loss", "choice", ("token_mean", "sequence_mean")),
    Setting("weight_decay", "Weight decay", "number"),
    Setting("max_grad_norm", "Gradient norm limit", "number"),
    Setting("micro_batch_tokens", "Tokens in one pass", "whole"),
)
MEASURING = (
    Setting("eval_samples", "Completions a held-out question", "whole"),
    Setting("eval_interval", "Steps between evaluations (0: ends only)", "whole"),
    Setting("eval_rows", "Most held-out questions", "whole"),
    Setting("held_out_share", "Share of rows held out", "number"),
    Setting("checkpoint_interval", "Steps between checkpoints", "whole"),
    Setting("token_share", "Share of completions with token credit", "number"),
    Setting("max_error_share", "Pause above this share of verifier errors", "number"),
)
MACHINE = (
    Setting("dtype", "Number format", "choice", ("float32", "bfloat16")),
    Setting("device", "Where to train", "choice", ("auto", "cpu", "cuda")),
)
ADAPTER = (
    Setting("r", "Rank", "whole"),
    Setting("alpha", "Scale (alpha)", "number"),
    Setting("dropout", "Dropout", "number"),
)
PRESETS = {
    "paper": (
        "As published",
        "The teacher shifts each token's credit by at most 20 % and fades out over 50 steps. Needs answers only.",
    ),
    "steady": (
        "Steady",
        "The teacher sees the worked solution and weighs tokens 0.2 to 5 times until the first error. Needs solutions.",
    ),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the API says about a setting."""

    description: str | None
    default: Any
    least: float | None
    most: float | None


def known(schema: Json, name: str) -> Known:
    """From a JSON schema's property; everything None where the API does not describe it."""
    said = schema.get("properties", {}).get(name, {})
    return Known(
        description=said.get("description"),
        default=said.get("default"),
        least=said.get("minimum", said.get("exclusiveMinimum")),
        most=said.get("maximum", said.get("exclusiveMaximum")),
    )


def request_body(
    *,
    dataset: str,
    validation: str | None,
    verifier: str,
    model: str,
    name: str,
    seed: int | None,
    x_rlsd: Json,
) -> Json:
    """The body that creates the job."""
    grader = {"type": "saved", "id": verifier}
    body: Json = {
        "model": model,
        "training_file": dataset,
        "method": {"type": "reinforcement", "reinforcement": {"grader": grader, "x_rlsd": x_rlsd}},
    }
    optional = {"validation_file": validation, "suffix": name or None, "seed": seed}
    return body | {key: value for key, value in optional.items() if value is not None}
