"""All settings of a job, in sections, and the presets.

`RlsdSettings` contains the resolved value of every setting of a run. Paper: arXiv 2604.03128; `docs/presets.md`
explains the preset `steady`. To add a setting, add its field to a section.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from backend.core.methods import METHODS, Method, MethodName, Part
from backend.core.settings.about import About, Strict, about
from backend.core.settings.choices import Preset
from backend.core.settings.credit import Credit, Practice, Teacher
from backend.core.settings.imitation import WarmStart
from backend.core.settings.machine import Checking, Machine
from backend.core.settings.measuring import Asking, Measuring, Sampling
from backend.core.settings.update import Lora, Training, Update


class Choosing(Strict):
    """The method, and the defaults of other settings."""

    preset: Annotated[
        Preset, About("Preset", why="As published: rows need only answers.", may_change=True, in_form=False)
    ] = Field(
        Preset.PAPER,
        description="The defaults of other settings. `x-presets` lists them.",
        json_schema_extra=lambda schema: schema.update(_preset_facts()),
    )
    method: Annotated[MethodName, About("Method", why="The method that this project is built for.", in_form=False)] = (
        Field(
            MethodName.RLSD,
            description="How the score of a completion is distributed over its tokens. `x-methods` describes each "
            "method, its teacher, and the settings it uses.",
            json_schema_extra=lambda schema: schema.update(_method_facts()),
        )
    )


SECTIONS: Mapping[str, type[Strict]] = {
    "Method": Choosing,
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


UNDESCRIBED = ("name", "advantage", "parts")
"""Facts of a method that `x-methods` leaves out: its key, and what `reads` says."""


def settings_of(parts: Sequence[Part]) -> list[str]:
    """Return the settings that these parts of a method read."""
    fields = [
        (field.alias or name, about(name, field))
        for section in SECTIONS.values()
        for name, field in section.model_fields.items()
    ]
    return [name for part in parts for name, facts in fields if facts.part is part]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetFacts:
    """Defaults that go together."""

    title: str
    summary: str
    values: Mapping[str, Any]
    """Defaults of settings, by their names in the API."""


PRESETS: Mapping[Preset, PresetFacts] = {
    Preset.PAPER: PresetFacts(
        title="As published",
        summary="The teacher shifts each token's credit a little, and fades out. Rows need only answers.",
        values={},
    ),
    Preset.STEADY: PresetFacts(
        title="Steady",
        summary="The teacher sees the worked solution, stays, and weights tokens strongly up to the first error. Rows "
        "need solutions.",
        values={
            "lambda": 1.0,
            "lambda_decay_steps": 0,
            "eps_w": (0.8, 4.0),
            "normalise": True,
            "first_error": True,
            "hint": "solution",
            "placebo_of": "solution",
        },
    ),
}


def _preset_facts() -> dict[str, Any]:
    return {"x-presets": {name: asdict(facts) for name, facts in PRESETS.items()}}


def _method_facts() -> dict[str, Any]:
    facts = {
        name: {key: value for key, value in asdict(method).items() if key not in UNDESCRIBED}
        | {"silenced_by": method.silenced_by, "reads": settings_of(method.parts)}
        for name, method in METHODS.items()
    }
    return {"x-methods": facts}


def method_schema(ref_template: str) -> dict[str, Any]:
    """Return the JSON schema of an entry of `x-methods`: `reads` lists the settings that only some methods read."""
    schema = TypeAdapter(Method).json_schema(ref_template=ref_template)
    properties = {name: each for name, each in schema["properties"].items() if name not in UNDESCRIBED}
    properties["silenced_by"] = {"anyOf": [{"enum": ["lambda", "alpha"], "type": "string"}, {"type": "null"}]}
    properties["reads"] = {"type": "array", "items": {"type": "string"}}
    named = json.dumps(properties)
    parts = {name: part for name, part in schema["$defs"].items() if ref_template.format(model=name) in named}
    return {**schema, "$defs": parts, "properties": properties, "required": list(properties)}


# The fields of the last base come first.
class RlsdSettings(Machine, Checking, Measuring, Sampling, Update, Credit, Teacher, Training, Asking, Choosing):
    """Every setting of a run. Defaults are the paper's (preset `paper`), except for LoRA's learning rate."""

    warm_start: WarmStart = Field(default_factory=WarmStart)
    practice: Practice | None = Field(
        None, description="Practice with the hint in the prompt where the model fails without it; off by default."
    )
    lora: Lora = Field(default_factory=Lora)


MAY_CHANGE = frozenset(
    name
    for section in SECTIONS.values()
    for name, field in section.model_fields.items()
    if about(name, field).may_change
)
"""Settings that may change when a run continues from a checkpoint."""
