"""The settings of a job that the form offers.

`job_settings.json` is written by the service's own code (`make generated`). Ranges, defaults and descriptions are the
API's (its OpenAPI schema). An empty field is not sent, so the preset or the default applies.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from frontend.api.types import FileReport, HintFacts, JobObject, Json, Method, PresetFacts

Kind = Literal["whole", "number", "pair", "choice", "yes_no", "text"]


class When(TypedDict):
    """The value of another setting with which a setting has an effect; if it `differs`, any other value."""

    setting: str
    value: str | float
    differs: bool
    default: str | float
    """Of the other setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    name: str
    label: str
    symbol: str
    unit: str
    """What its number counts or measures; empty if there is no word for it."""
    zero: str
    """What 0 stands for; empty if it is a number like others."""
    kind: Kind
    by_preset: bool
    """Whether the default depends on the preset."""
    why: str | None
    """The reason for the default."""
    when: When | None
    """What the field depends on; None: it is always shown."""

    @property
    def title(self) -> str:
        """The label with its symbol, its unit if the label does not name it, and what 0 means."""
        unit = "" if self.unit in self.label.casefold() else self.unit
        notes = "; ".join(filter(None, (unit, self.zero and f"0: {self.zero}")))
        return " ".join(filter(None, (self.label, self.symbol, notes and f"({notes})")))

    def is_shown(self, settings: Json) -> bool:
        """Return whether the setting has an effect, given the values of the settings above it."""
        if self.when is None:
            return True
        value = settings.get(self.when["setting"], self.when["default"])
        return bool(value == self.when["value"]) != self.when["differs"]


def sections_of(form: Json) -> dict[str, tuple[Setting, ...]]:
    """Read the sections of the form, by title in their order."""
    return {each["title"]: tuple(Setting(**facts) for facts in each["settings"]) for each in form["sections"]}


FORM: Json = json.loads((Path(__file__).parent / "job_settings.json").read_text())
METHOD_TITLES: dict[str, str] = FORM["methods"]
"""Titles of the methods, by name."""
SECTIONS = sections_of(FORM)
ASKING, MAIN, WARM_START, PRACTICE, ADAPTER = (
    SECTIONS.pop(title) for title in ("Instruction", "Training", "Warm start", "Practice", "Adapter (LoRA)")
)
"""The sections that have places of their own in the form; `SECTIONS` has the others, which are folded."""
NESTED = {"warm_start": WARM_START, "practice": PRACTICE, "lora": ADAPTER}
"""The settings within a setting, by its name."""
SCHEMAS = {"warm_start": "WarmStart", "practice": "Practice", "lora": "Lora"}
"""The names of their schemas."""
OFFERED = {setting.name: setting for section in (ASKING, MAIN, *SECTIONS.values()) for setting in section}


TARGETS = {"solution": "worked solution", "answer": "answer", "trajectory": "trajectory"}
"""Texts of a row that a model can imitate."""


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """A setting as the API's schema describes it."""

    description: str | None
    default: Any
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    longest: int | None
    """Most characters of a text."""
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
        longest=described.get("maxLength"),
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


def presets(schema: Json) -> dict[str, PresetFacts]:
    """Return the API's description of each preset, in its order."""
    described: dict[str, PresetFacts] = schema["properties"]["preset"]["x-presets"]
    return described


def hints(schema: Json) -> dict[str, HintFacts]:
    """Return the API's description of each kind of hint."""
    described: dict[str, HintFacts] = schema["properties"]["hint"]["x-hints"]
    return described


def method_name(job: JobObject) -> str:
    """Return the title of a job's method."""
    method: str = job["method"]["reinforcement"]["x_rlsd"]["method"]
    return METHOD_TITLES.get(method, method)


def settings_for(settings: Sequence[Setting], *, method: Method, schema: Json) -> list[Setting]:
    """Return the settings that a method reads, without those that only other methods read."""
    of_some = {name for facts in methods(schema).values() for name in facts["reads"]}
    return [setting for setting in settings if setting.name not in of_some or setting.name in method["reads"]]


def hint_in_rows(settings: Json, *, method: Method, preset: PresetFacts, schema: Json) -> str | None:
    """Return the hint that every row must have for these settings; None if there is none."""
    if method["teacher"] != "hinted" or settings.get(method["silenced_by"] or "") == 0:
        return None
    defaults = {name: schema["properties"][name]["default"] for name in ("hint", "placebo_of")}
    known = {**defaults, **method["defaults"], **preset["values"], **settings}
    hint: str = method["hint"] or known["hint"]
    if hint == "placebo":
        hint = known["placebo_of"]
    return hint if hints(schema)[hint]["lack"] else None


def practice_hint(settings: Json, *, schema: Json) -> str | None:
    """Return the hint that every row must have for practice; None without practice, or if any row has it."""
    practice = settings.get("practice")
    if practice is None:
        return None
    hint: str = practice.get("hint", "solution")
    if hint == "placebo":
        hint = practice.get("placebo_of", "solution")
    return hint if hints(schema)[hint]["lack"] else None


def rows_without(hint: str | None, report: FileReport, *, settings: Json) -> int:
    """Count the rows without the hint that every row must have, if the report counts them. 0 if no row has an answer
    and the job names no hint: the API then chooses one.
    """
    if hint is None or ("hint" not in settings and not report["with_answer"]):
        return 0
    counted = report.get(f"with_{hint}")
    return 0 if counted is None else report["good"] - int(str(counted))


def label_of(param: str | None) -> str | None:
    """Return the form's label of an API parameter, such as `method.reinforcement.x_rlsd.lambda`."""
    *path, name = (param or "").split(".")
    within = NESTED.get(path[-1]) if path else None
    offered = OFFERED if within is None else {setting.name: setting for setting in within}
    return offered[name].label if name in offered else None


def warm_rows(settings: Json) -> int:
    """Return the number of rows that a job imitates before its first step; 0 without a warm start."""
    rows: int = settings.get("warm_start", {}).get("rows", 0)
    return rows


def with_target(settings: Json, report: FileReport) -> tuple[int, str]:
    """Return how many rows of a dataset have the text to imitate, and its name."""
    target = settings.get("warm_start", {}).get("target", "solution")
    return int(str(report.get(f"with_{target}") or 0)), TARGETS[target]


def allowed_name(written: str) -> str:
    """Return the name that the service takes for it: without accents, other characters as dashes, of 64 at most."""
    ascii_only = unicodedata.normalize("NFKD", written).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", ascii_only).lstrip("_.-")[:64].rstrip("-")


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
