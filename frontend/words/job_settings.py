"""The settings of a job that the form offers: their labels and their order.

Ranges, defaults and descriptions are the API's (its OpenAPI schema). An empty field is not sent, so the preset or
the default applies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from frontend.api.jobs import Method
from frontend.api.types import FileReport, JobObject, Json

Kind = Literal["whole", "number", "pair", "choice", "yes_no", "text"]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    label: str
    kind: Kind
    by_preset: bool = False
    """Whether the default depends on the preset."""
    when: Callable[[Json], bool] | None = None
    """Whether the field is shown, given the values above it; None: always."""


MAIN = (
    Setting("max_steps", "Training steps", "whole"),
    Setting("batch_size", "Questions per step", "whole"),
    Setting("num_generations", "Completions per question", "whole"),
    Setting("max_completion_tokens", "Maximum completion length (tokens)", "whole"),
    Setting("learning_rate", "Learning rate", "number"),
)
TEACHER = (
    Setting("hint", "Hint for the teacher", "choice", by_preset=True),
    Setting("placebo_of", "Kind of placebo hint", "choice", when=lambda settings: settings.get("hint") == "placebo"),
    Setting("teacher", "Teacher weights", "choice"),
    Setting("teacher_sync_steps", "Steps between teacher snapshots", "whole"),
    Setting("teacher_model", "Larger teacher model", "text"),
    Setting("teacher_dtype", "Number format of the larger teacher", "choice"),
    Setting("teacher_device", "Device of the larger teacher (auto, cpu, cuda:1)", "text"),
    Setting("first_error", "First-error mask", "yes_no", by_preset=True),
    Setting("reasoning_only", "Teacher credit in the reasoning only", "yes_no"),
    Setting(
        "reasoning_end",
        "Text that ends the reasoning",
        "text",
        when=lambda settings: bool(settings.get("reasoning_only")),
    ),
)
CREDIT = (
    Setting("lambda", "Teacher strength λ", "number", by_preset=True),
    Setting("lambda_decay_steps", "Steps until λ is 0 (0: constant)", "whole", by_preset=True),
    Setting("eps_w", "Weight clipping below and above 1", "pair", by_preset=True),
    Setting("normalise", "Divide weights by their mean", "yes_no", by_preset=True),
    Setting("negative_only", "Teacher credit in wrong completions only", "yes_no"),
    Setting("alpha", "Distillation strength α", "number"),
    Setting("divergence", "Divergence", "choice"),
    Setting("divergence_beta", "Teacher share in the mixture β", "number", when=lambda settings: _is(settings, "jsd")),
    Setting(
        "divergence_top_k",
        "Vocabulary entries compared (0: all)",
        "whole",
        when=lambda settings: not _is(settings, "sampled"),
    ),
    Setting(
        "divergence_clip",
        "Clip per vocabulary entry (0: none)",
        "number",
        when=lambda settings: not _is(settings, "sampled"),
    ),
    Setting("delta_clip", "Log-ratio clip", "number", when=lambda settings: _is(settings, "sampled")),
    Setting("contrast_samples", "Wrong completions for the contrast", "whole"),
    Setting("contrast_tau", "Contrast saturation τ (log-ratio)", "number"),
    Setting("contrast_threshold", "Contrast threshold", "number"),
)
UPDATE = (
    Setting("scale_rewards", "Divide rewards by the group's standard deviation (off: Dr. GRPO)", "yes_no"),
    Setting("loss", "Loss averaging", "choice"),
    Setting("resample_rounds", "Resampling rounds for groups without signal (DAPO)", "whole"),
    Setting("eps_low", "Policy ratio clip, lower", "number"),
    Setting("eps_high", "Policy ratio clip, upper", "number"),
    Setting("dual_clip", "Dual clip (wrong completions)", "number"),
    Setting("weight_decay", "Weight decay", "number"),
    Setting("max_grad_norm", "Gradient norm limit", "number"),
)
SAMPLING = (
    Setting("temperature", "Temperature", "number"),
    Setting("skip_special_tokens", "Leave special tokens out of the text", "yes_no"),
    Setting("max_prompt_tokens", "Maximum prompt length (tokens)", "whole"),
    Setting("fold_system", "System message inside the user message", "yes_no"),
    Setting("success_above", "Score above which a completion is right", "number"),
)
MEASURING = (
    Setting("budget", "Budget (0: none)", "number"),
    Setting("budget_unit", "Budget unit", "choice", when=lambda settings: bool(settings.get("budget"))),
    Setting("eval_samples", "Completions per held-out question", "whole"),
    Setting("eval_interval", "Steps between evaluations (0: before and after only)", "whole"),
    Setting("eval_rows", "Maximum held-out questions", "whole"),
    Setting("held_out_share", "Share of rows held out", "number"),
    Setting("checkpoint_interval", "Steps between checkpoints", "whole"),
    Setting("token_share", "Share of completions with token credit", "number"),
    Setting("diagnostic_interval", "Steps between diagnostics (0: never)", "whole"),
    Setting("max_error_share", "Pause above this verifier error share", "number"),
    Setting("max_dead_steps", "Pause after steps without signal (0: never)", "whole"),
)
CHECKING = (
    Setting("self_check_rows", "Rows for the verifier self-check (0: none)", "whole"),
    Setting("preflight_rows", "Rows for the pre-flight (0: none)", "whole"),
    Setting(
        "preflight_samples",
        "Completions per pre-flight row",
        "whole",
        when=lambda settings: bool(settings.get("preflight_rows")),
    ),
    Setting("on_failed_check", "If a check fails", "choice"),
)
MACHINE = (
    Setting("dtype", "Number format", "choice"),
    Setting("device", "Training device", "choice"),
    Setting("devices", "Number of devices", "whole"),
    Setting("sharding", "Base model per device", "choice", when=lambda settings: (settings.get("devices") or 1) > 1),
    Setting("generator", "Sampler", "choice"),
    Setting("micro_batch_tokens", "Tokens per micro-batch", "whole"),
    Setting("rollout_sequences", "Completions sampled at a time", "whole"),
    Setting("gradient_checkpointing", "Recompute activations (less memory)", "yes_no"),
)
SECTIONS: tuple[tuple[str, tuple[Setting, ...]], ...] = (
    ("Teacher", TEACHER),
    ("Credit assignment", CREDIT),
    ("Update", UPDATE),
    ("Sampling", SAMPLING),
    ("Evaluation and checkpoints", MEASURING),
    ("Checks before training", CHECKING),
    ("Machine and memory", MACHINE),
)
"""The folded sections of the form, in order."""
ADAPTER = (
    Setting("r", "Rank", "whole"),
    Setting("alpha", "Scale (alpha)", "number"),
    Setting("dropout", "Dropout", "number"),
)
PRESETS = {
    "paper": (
        "As published",
        "The teacher shifts each token's credit by at most 10 % and fades out over 50 steps. Needs only answers.",
    ),
    "steady": (
        "Steady",
        "The teacher sees the worked solution and weights tokens from 0.2 to 5 up to the first error. Needs solutions.",
    ),
}


NEEDED = {
    "answer": ("with_answer", "no answer"),
    "solution": ("with_solution", "no worked solution"),
    "trajectory": ("with_trajectory", "no trajectory"),
    "privileged": ("with_privileged", "no text written for the teacher"),
}
"""Hints that every row must have: the count in the file's report, and words for rows without it."""


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """A setting as the API's schema describes it."""

    description: str | None
    default: Any
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    titles: dict[str, str]
    """Readable names of the choices, if there are any."""


def facts_of(schema: Json, name: str) -> SettingFacts:
    """Read a setting from its property in a JSON schema; all empty if the API does not describe it."""
    described = schema.get("properties", {}).get(name, {})
    explained = described.get("x-methods") or described.get("x-hints") or {}
    return SettingFacts(
        description=described.get("description"),
        default=described.get("default"),
        least=described.get("minimum", described.get("exclusiveMinimum")),
        most=described.get("maximum", described.get("exclusiveMaximum")),
        choices=tuple(described.get("enum", ())),
        titles={value: facts["title"] for value, facts in explained.items()},
    )


def inlined(schemas: dict[str, Json], name: str) -> Json:
    """Return a schema with the `$ref`s of its properties resolved."""
    schema = schemas[name]
    properties = {
        key: schemas[value["$ref"].rsplit("/", 1)[1]] | value if "$ref" in value else value
        for key, value in schema["properties"].items()
    }
    return schema | {"properties": properties}


def methods(schema: Json) -> dict[str, Method]:
    """Return the API's description of each method, in its order."""
    described = schema["properties"]["method"]
    return {name: described["x-methods"][name] for name in described["enum"]}


def method_name(job: JobObject) -> str:
    """Return the name of a job's method: `RLSD`, or `GRPO OPSD` for `grpo_opsd`."""
    method: str = job["method"]["reinforcement"]["x_rlsd"]["method"]
    return method.upper().replace("_", " ")


def settings_for(settings: Sequence[Setting], *, method: Method, schema: Json) -> list[Setting]:
    """Return the settings that a method reads, without those that only other methods read."""
    of_some = {name for facts in methods(schema).values() for name in facts["reads"]}
    return [setting for setting in settings if setting.name not in of_some or setting.name in method["reads"]]


def hint_in_rows(settings: Json, *, method: Method, preset: str) -> str | None:
    """Return the hint that every row must have for these settings; None if there is none."""
    silent = (method["fades"] and settings.get("lambda") == 0) or (
        "alpha" in method["reads"] and settings.get("alpha") == 0
    )
    if method["teacher"] != "hinted" or silent:
        return None
    usual = "solution" if preset == "steady" else method["defaults"].get("hint", "answer")
    hint = method["hint"] or settings.get("hint", usual)
    if hint == "placebo":
        hint = settings.get("placebo_of", "solution" if preset == "steady" else "answer")
    return hint if hint in NEEDED else None


def rows_without(hint: str | None, report: FileReport, *, settings: Json) -> int:
    """Count the rows without the hint that every row must have. 0 if no row has an answer and the job names no hint:
    the API then chooses one.
    """
    if hint is None or ("hint" not in settings and not report["with_answer"]):
        return 0
    counted = report.get(NEEDED[hint][0])
    return 0 if counted is None else report["good"] - int(str(counted))


def label_of(param: str | None) -> str | None:
    """Return the form's label of an API parameter, such as `method.reinforcement.x_rlsd.lambda`."""
    name = (param or "").rsplit(".", 1)[-1]
    offered = [*MAIN, *(setting for _, section in SECTIONS for setting in section)]
    return next((setting.label for setting in offered if setting.name == name), None)


def _is(settings: Json, divergence: str) -> bool:
    return bool(settings.get("divergence", "sampled") == divergence)


def request_body(
    *,
    dataset: str,
    validation: str | None,
    grader: Json,
    model: str,
    name: str,
    seed: int | None,
    x_rlsd: Json,
) -> Json:
    """Build the body that creates the job."""
    body: Json = {
        "model": model,
        "training_file": dataset,
        "method": {"type": "reinforcement", "reinforcement": {"grader": grader, "x_rlsd": x_rlsd}},
    }
    optional = {"validation_file": validation, "suffix": name or None, "seed": seed}
    return body | {key: value for key, value in optional.items() if value is not None}
