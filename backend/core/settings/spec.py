"""All settings of a job, in sections, and the presets.

`RlsdSettings` contains the resolved value of every setting of a run. Paper: arXiv 2604.03128; `docs/presets.md`
explains the preset `steady`. To add a setting, add its field to a section.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from backend.core.methods import METHODS, MethodName, Part
from backend.core.settings.about import About, Strict, about
from backend.core.settings.choices import Preset
from backend.core.settings.credit import Credit, Practice, Teacher
from backend.core.settings.machine import Checking, Machine
from backend.core.settings.measuring import Asking, Measuring, Sampling
from backend.core.settings.update import Lora, Training, Update

SECTIONS: Mapping[str, type[Strict]] = {
    "Instruction": Asking,
    "Training": Training,
    "Teacher": Teacher,
    "Credit assignment": Credit,
    "Update": Update,
    "Sampling": Sampling,
    "Evaluation and checkpoints": Measuring,
    "Checks before training": Checking,
    "Machine and memory": Machine,
}
"""The sections by their titles, in the order of the form."""


def settings_of(parts: Sequence[Part]) -> list[str]:
    """Return the settings that these parts of a method read."""
    fields = [(field.alias or name, about(field)) for s in SECTIONS.values() for name, field in s.model_fields.items()]
    return [name for part in parts for name, facts in fields if facts is not None and facts.part is part]


def _describe_methods(schema: dict[str, Any]) -> None:
    schema["x-methods"] = {
        name: {key: value for key, value in asdict(method).items() if key not in ("name", "advantage", "parts")}
        | {"reads": settings_of(method.parts)}
        for name, method in METHODS.items()
    }


# The fields of the last base come first.
class RlsdSettings(Machine, Checking, Measuring, Sampling, Update, Credit, Teacher, Training, Asking):
    """Every setting of a run. Defaults are the paper's (preset `paper`), except for LoRA's learning rate."""

    preset: Annotated[Preset, About("Preset", why="As published: rows need only answers.", may_change=True)] = Field(
        Preset.PAPER, description="The defaults of the other settings."
    )
    method: MethodName = Field(
        MethodName.RLSD,
        description="How the score of a completion is distributed over its tokens. `x-methods` describes each method, "
        "its teacher, and the settings it uses.",
        json_schema_extra=_describe_methods,
    )
    practice: Practice | None = Field(
        None, description="Practice with the hint in the prompt where the model fails without it; off by default."
    )
    lora: Lora = Field(default_factory=Lora)


MAY_CHANGE = frozenset(
    name
    for name, field in RlsdSettings.model_fields.items()
    if (facts := about(field)) is not None and facts.may_change
)
"""Settings that may change when a run continues from a checkpoint."""

PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.PAPER: {},
    Preset.STEADY: {
        "lambda": 1.0,
        "lambda_decay_steps": 0,
        "eps_w": (0.8, 4.0),
        "normalise": True,
        "first_error": True,
        "hint": "solution",
        "placebo_of": "solution",
    },
}
