"""The configurations compared: methods with their settings and hints. All share the task's budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.core.settings.choices import Preset
from backend.core.settings.spec import PRESETS, RlsdSettings
from benchmarks.learning.task import LearningTask

STEADY = PRESETS[Preset.STEADY].values
WIDE = {"lambda": 1.0, "lambda_decay_steps": 0, "eps_w": (0.8, 4.0)}
"""`steady` without normalising and without the first-error mask."""
RLCSD = {"method": "rlcsd", "lambda": 0.5, "lambda_decay_steps": 0, "contrast_samples": 4}
"""Its authors' values."""
OPSD = {"method": "opsd", "teacher": "base"}
MOVING = {"method": "opsd", "teacher": "snapshot"}
"""OPSD with a teacher that is updated from the student, as for all other methods."""
PUBLISHED_OPSD = {**OPSD, "divergence": "forward_kl", "divergence_clip": 0.05}
PUBLISHED_SDPO = {"method": "sdpo", "divergence": "jsd", "divergence_top_k": 100}
"""Divergences over the vocabulary, as in their papers."""
ROW_HINTS = ("answer", "solution")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A method of credit assignment with its settings, and its teacher's hint."""

    name: str
    """The method, and how it differs from other configurations of it."""
    hint: str
    """"none", "answer", "solution", "sibling", or the placebo of one of them."""
    values: Mapping[str, Any] = field(hash=False)
    """Values of `RlsdSettings`, the method included."""
    extra: bool = False
    """Runs only when named on the command line: not part of the comparison, such as those of docs/rlsd.md section 6."""

    @property
    def key(self) -> str:
        """Its name on the command line."""
        return self.name if self.hint == "none" else f"{self.name}/{self.hint}"


def _hinted(name: str, values: Mapping[str, Any], *, extra: bool = False) -> list[Configuration]:
    return [Configuration(name, hint, {**values, "hint": hint}, extra) for hint in ROW_HINTS]


BASELINE = Configuration("grpo", "none", {"method": "grpo"})
CONFIGURATIONS = (
    Configuration("sft", "none", {"method": "sft", "warm_start": {"target": "solution"}}),
    BASELINE,
    *_hinted("rlsd paper", {"method": "rlsd", **PRESETS[Preset.PAPER].values}),
    *_hinted("rlsd steady", {"method": "rlsd", **STEADY}),
    *(
        Configuration(
            "rlsd steady", f"placebo {hint}", {"method": "rlsd", **STEADY, "hint": "placebo", "placebo_of": hint}
        )
        for hint in ROW_HINTS
    ),
    *_hinted("opsd", OPSD),
    *_hinted("grpo_opsd", {"method": "grpo_opsd"}),
    Configuration("sdpo", "sibling", {"method": "sdpo", "hint": "sibling"}),
    Configuration("sc_grpo", "sibling", {"method": "sc_grpo", "hint": "sibling"}, True),
    *_hinted("good_prefix", {"method": "good_prefix"}, extra=True),
    *_hinted("rlsd_template", {"method": "rlsd_template", **STEADY}),
    *_hinted("cepo", {"method": "cepo", **STEADY}),
    *_hinted("rlcsd", RLCSD),
    Configuration("rlcsd", "sibling", {**RLCSD, "hint": "sibling"}),
    Configuration("rlsd narrow", "solution", {"method": "rlsd", **WIDE, "eps_w": (0.2, 0.2), "hint": "solution"}, True),
    *_hinted("rlsd wide", {"method": "rlsd", **WIDE}, extra=True),
    Configuration(
        "rlsd wide", "placebo solution", {"method": "rlsd", **WIDE, "hint": "placebo", "placebo_of": "solution"}, True
    ),
    Configuration(
        "rlsd normalised", "solution", {"method": "rlsd", **WIDE, "normalise": True, "hint": "solution"}, True
    ),
    Configuration("cepo wide", "solution", {"method": "cepo", **WIDE, "hint": "solution"}, True),
    *_hinted("opsd masked", {**OPSD, "first_error": True}, extra=True),
    *_hinted("grpo_opsd masked", {"method": "grpo_opsd", "first_error": True}, extra=True),
    *_hinted("opsd moving", MOVING, extra=True),
    *_hinted("opsd moving masked", {**MOVING, "first_error": True}, extra=True),
    Configuration("opsd published", "solution", {**PUBLISHED_OPSD, "hint": "solution"}, True),
    Configuration("sdpo published", "sibling", {**PUBLISHED_SDPO, "hint": "sibling"}, True),
)
"""Methods that weight tokens by other evidence (`rlsd_template`, `cepo`) use the weighting options of `steady`, so that
only the evidence differs; `rlcsd` uses its authors' values; methods that distil use the engine's defaults. `sft` is
what all others have to beat."""


def settings_of(configuration: Configuration, *, task: LearningTask, learning_rate: float) -> RlsdSettings:
    """Build a job's settings with the task's budget, and without diagnostics."""
    budget = task.budget
    return RlsdSettings.model_validate(
        {
            **configuration.values,
            "learning_rate": learning_rate,
            "lora": {"r": budget.lora_r, "alpha": 2 * budget.lora_r},
            "max_steps": budget.steps,
            "batch_size": budget.batch_size,
            "num_generations": budget.num_generations,
            "max_prompt_tokens": budget.max_prompt_tokens,
            "max_completion_tokens": budget.max_completion_tokens,
            "eval_interval": budget.eval_interval,
            "eval_samples": budget.eval_samples,
            "checkpoint_interval": budget.steps,
            "token_share": 0.0,
            "diagnostic_interval": 0,
            "max_dead_steps": 0,
            "device": "cpu",
        }
    )
