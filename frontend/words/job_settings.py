"""The settings of a job that the form offers: their words and their order.

Ranges, defaults and descriptions are the API's (its OpenAPI schema). A field left empty is not sent, so the preset
or the default decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from frontend.api.types import FileReport, Job, Json, Method

Kind = Literal["whole", "number", "pair", "choice", "yes_no", "text"]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    label: str
    kind: Kind
    by_preset: bool = False
    """Its default depends on the preset."""
    when: Callable[[Json], bool] | None = None
    """Whether it matters, by what was filled in above it; None: always."""


MAIN = (
    Setting("max_steps", "Training steps", "whole"),
    Setting("batch_size", "Questions a step", "whole"),
    Setting("num_generations", "Completions a question", "whole"),
    Setting("max_completion_tokens", "Longest completion (tokens)", "whole"),
    Setting("learning_rate", "Learning rate", "number"),
)
TEACHER = (
    Setting("hint", "Hint for the teacher", "choice", by_preset=True),
    Setting(
        "placebo_of", "Placebo taken from another row's", "choice", when=lambda said: said.get("hint") == "placebo"
    ),
    Setting("teacher", "Weights of the teacher", "choice"),
    Setting("teacher_sync_steps", "Steps between teacher snapshots", "whole"),
    Setting("teacher_model", "Larger model to imitate", "text"),
    Setting("teacher_dtype", "Its number format", "choice"),
    Setting("teacher_device", "Where it stands (auto, cpu, cuda:1)", "text"),
    Setting("first_error", "First-error mask", "yes_no", by_preset=True),
    Setting("reasoning_only", "Heard only in the reasoning", "yes_no"),
    Setting(
        "reasoning_end", "Text that ends the reasoning", "text", when=lambda said: bool(said.get("reasoning_only"))
    ),
)
CREDIT = (
    Setting("lambda", "Strength λ", "number", by_preset=True),
    Setting("lambda_decay_steps", "Steps until λ is 0 (0: constant)", "whole", by_preset=True),
    Setting("eps_w", "Weights reach below and above 1 by", "pair", by_preset=True),
    Setting("normalise", "Divide weights by their mean", "yes_no", by_preset=True),
    Setting("negative_only", "Only in wrong completions", "yes_no"),
    Setting("alpha", "Strength of the imitation α", "number"),
    Setting("divergence", "What is imitated", "choice"),
    Setting("divergence_beta", "Teacher's share in the mixture β", "number", when=lambda said: _is(said, "jsd")),
    Setting(
        "divergence_top_k", "Tokens compared one by one (0: all)", "whole", when=lambda said: not _is(said, "sampled")
    ),
    Setting("divergence_clip", "Bound of one entry (0: none)", "number", when=lambda said: not _is(said, "sampled")),
    Setting("delta_clip", "Bound of a log-ratio", "number", when=lambda said: _is(said, "sampled")),
    Setting("contrast_samples", "Wrong completions to compare with", "whole"),
    Setting("contrast_tau", "Log-ratio at which the contrast saturates τ", "number"),
    Setting("contrast_threshold", "Smallest contrast that counts", "number"),
)
UPDATE = (
    Setting("scale_rewards", "Divide by the group's spread (off: Dr. GRPO)", "yes_no"),
    Setting("loss", "Averaging of the loss", "choice"),
    Setting("resample_rounds", "Rounds of fresh questions for dead groups (DAPO)", "whole"),
    Setting("eps_low", "Policy ratio clipped below by", "number"),
    Setting("eps_high", "Policy ratio clipped above by", "number"),
    Setting("dual_clip", "Bound of the loss for wrong completions", "number"),
    Setting("weight_decay", "Weight decay", "number"),
    Setting("max_grad_norm", "Gradient norm limit", "number"),
)
SAMPLING = (
    Setting("temperature", "Temperature", "number"),
    Setting("max_prompt_tokens", "Longest prompt (tokens)", "whole"),
    Setting("success_above", "A completion is right above this score", "number"),
)
MEASURING = (
    Setting("budget", "End when so much is used up (0: never)", "number"),
    Setting("budget_unit", "Counted in", "choice", when=lambda said: bool(said.get("budget"))),
    Setting("eval_samples", "Completions a held-out question", "whole"),
    Setting("eval_interval", "Steps between evaluations (0: ends only)", "whole"),
    Setting("eval_rows", "Most held-out questions", "whole"),
    Setting("held_out_share", "Share of rows held out", "number"),
    Setting("checkpoint_interval", "Steps between checkpoints", "whole"),
    Setting("token_share", "Share of completions with token credit", "number"),
    Setting("diagnostic_interval", "Steps between diagnostics (0: never)", "whole"),
    Setting("max_error_share", "Pause above this share of verifier errors", "number"),
    Setting("max_dead_steps", "Pause after steps without signal (0: never)", "whole"),
)
CHECKING = (
    Setting("self_check_rows", "Rows to try the verifier on (0: none)", "whole"),
    Setting("preflight_rows", "Rows that the base model answers first (0: none)", "whole"),
    Setting(
        "preflight_samples", "Completions of each of them", "whole", when=lambda said: bool(said.get("preflight_rows"))
    ),
    Setting("on_failed_check", "Where a check fails", "choice"),
)
MACHINE = (
    Setting("dtype", "Number format", "choice"),
    Setting("device", "Where to train", "choice"),
    Setting("devices", "Devices that share the job", "whole"),
    Setting("sharding", "Base model on each device", "choice", when=lambda said: (said.get("devices") or 1) > 1),
    Setting("generator", "What writes completions", "choice"),
    Setting("micro_batch_tokens", "Tokens in one pass", "whole"),
    Setting("rollout_sequences", "Completions written at a time", "whole"),
    Setting("gradient_checkpointing", "Recompute activations (less memory)", "yes_no"),
)
SECTIONS: tuple[tuple[str, tuple[Setting, ...]], ...] = (
    ("Teacher", TEACHER),
    ("Credit: who gets how much", CREDIT),
    ("Update", UPDATE),
    ("Writing completions", SAMPLING),
    ("Measuring and keeping", MEASURING),
    ("Checks before training", CHECKING),
    ("Machine and memory", MACHINE),
)
"""All that is folded, in this order."""
ADAPTER = (
    Setting("r", "Rank", "whole"),
    Setting("alpha", "Scale (alpha)", "number"),
    Setting("dropout", "Dropout", "number"),
)
PRESETS = {
    "paper": (
        "As published",
        "The teacher shifts each token's credit by at most 10 % and fades out over 50 steps. Needs answers only.",
    ),
    "steady": (
        "Steady",
        "The teacher sees the worked solution and weighs tokens 0.2 to 5 times until the first error. Needs solutions.",
    ),
}


NEEDED = {
    "answer": ("with_answer", "no answer"),
    "solution": ("with_solution", "no worked solution"),
    "trajectory": ("with_trajectory", "no trajectory"),
    "privileged": ("with_privileged", "nothing that was written for the teacher"),
}
"""Hints that every row must have: where the file's report counts them, and what to say of rows without."""


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """What the API says about a setting."""

    description: str | None
    default: Any
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    titles: dict[str, str]
    """Readable names of the choices, where it gives any."""


def known(schema: Json, name: str) -> SettingFacts:
    """From a JSON schema's property; everything empty where the API does not describe it."""
    said = schema.get("properties", {}).get(name, {})
    explained = said.get("x-methods") or said.get("x-hints") or {}
    return SettingFacts(
        description=said.get("description"),
        default=said.get("default"),
        least=said.get("minimum", said.get("exclusiveMinimum")),
        most=said.get("maximum", said.get("exclusiveMaximum")),
        choices=tuple(said.get("enum", ())),
        titles={value: facts["title"] for value, facts in explained.items()},
    )


def inlined(schemas: dict[str, Json], name: str) -> Json:
    """A schema in which what its properties refer to is written out."""
    schema = schemas[name]
    properties = {
        key: schemas[said["$ref"].rsplit("/", 1)[1]] | said if "$ref" in said else said
        for key, said in schema["properties"].items()
    }
    return schema | {"properties": properties}


def methods(schema: Json) -> dict[str, Method]:
    """What the API says of each method, in its order."""
    said = schema["properties"]["method"]
    return {name: said["x-methods"][name] for name in said["enum"]}


def method_name(job: Job) -> str:
    """`RLSD`, `GRPO OPSD` of the job's `grpo_opsd`."""
    method: str = job["method"]["reinforcement"]["x_rlsd"]["method"]
    return method.upper().replace("_", " ")


def shown(settings: Sequence[Setting], *, method: Method, schema: Json) -> list[Setting]:
    """The settings that matter to a method: those that only some methods read are left out where it does not."""
    of_some = {name for facts in methods(schema).values() for name in facts["reads"]}
    return [setting for setting in settings if setting.name not in of_some or setting.name in method["reads"]]


def hint_in_rows(said: Json, *, method: Method, preset: str) -> str | None:
    """The hint that every row must have for these settings; None where there is none."""
    silent = (method["fades"] and said.get("lambda") == 0) or ("alpha" in method["reads"] and said.get("alpha") == 0)
    if method["teacher"] != "hinted" or silent:
        return None
    usual = "solution" if preset == "steady" else method["defaults"].get("hint", "answer")
    hint = method["hint"] or said.get("hint", usual)
    if hint == "placebo":
        hint = said.get("placebo_of", "solution" if preset == "steady" else "answer")
    return hint if hint in NEEDED else None


def rows_without(hint: str | None, report: FileReport, *, said: Json) -> int:
    """How many rows lack the hint that every row must have. Where no row has an answer, and the job does not say which
    hint it wants, the API finds one: that is none.
    """
    if hint is None or ("hint" not in said and not report["with_answer"]):
        return 0
    counted = report.get(NEEDED[hint][0])
    return 0 if counted is None else report["good"] - int(str(counted))


def label_of(param: str | None) -> str | None:
    """What the form calls a parameter that the API names, such as `method.reinforcement.x_rlsd.lambda`."""
    name = (param or "").rsplit(".", 1)[-1]
    offered = [*MAIN, *(setting for _, section in SECTIONS for setting in section)]
    return next((setting.label for setting in offered if setting.name == name), None)


def _is(said: Json, divergence: str) -> bool:
    return bool(said.get("divergence", "sampled") == divergence)


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
    """The body that creates the job."""
    body: Json = {
        "model": model,
        "training_file": dataset,
        "method": {"type": "reinforcement", "reinforcement": {"grader": grader, "x_rlsd": x_rlsd}},
    }
    optional = {"validation_file": validation, "suffix": name or None, "seed": seed}
    return body | {key: value for key, value in optional.items() if value is not None}
