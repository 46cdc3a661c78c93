"""Methods and settings as tables of the documentation, and as the form of the page.

The page knows the service by its API only, so it gets a file.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.core.methods import METHODS, Method, Part, TeacherKind
from backend.core.settings.about import About, Strict, When, about
from backend.core.settings.choices import Preset
from backend.core.settings.credit import Practice
from backend.core.settings.spec import PRESETS, SECTIONS, RlsdSettings, settings_of
from backend.core.settings.update import Lora

PAGES = ("docs/methods.md", "docs/presets.md", "docs/settings.md")
"""Pages that have tables of this module."""
NESTED: Mapping[str, type[Strict]] = {"Practice": Practice, "Adapter (LoRA)": Lora}
"""Sections of settings that are a field each, with settings of their own."""
ALL_SECTIONS: Mapping[str, type[Strict]] = {**SECTIONS, **NESTED}
PAPERS = "https://arxiv.org/abs/"
OF_EVERY_TEACHER = (Part.HINT, Part.TEACHER, Part.MASK)
KINDS = {"boolean": "yes_no", "integer": "whole", "number": "number", "array": "pair"}
"""The field of a form, by the type in the schema."""
TEACHERS = {TeacherKind.NONE: "none", TeacherKind.EXTERNAL: "another model with the same tokenizer, no hint"}


def job_settings_form() -> str:
    """Return the form as JSON: `[{title, settings: [{name, label, kind, by_preset, why, when}]}]`."""
    sections = [
        {
            "title": title,
            "settings": [
                {
                    "name": setting.name,
                    "label": _label(setting.about),
                    "kind": setting.kind,
                    "by_preset": title in SECTIONS and setting.name in PRESETS[Preset.STEADY],
                    "why": setting.about.why,
                    "when": _when(setting.about.when, section=section),
                }
                for setting in _settings(section)
                if setting.about is not None
            ],
        }
        for title, section in ALL_SECTIONS.items()
    ]
    return json.dumps(sections, indent=1, ensure_ascii=False) + "\n"


def tables() -> dict[str, str]:
    """Return the tables of the documentation by name, in Markdown."""
    return {
        "methods": _table(
            ("`method`", "token advantage", "teacher, hint", "settings of its own", "source"),
            [
                (f"`{name}`", method.advantage, _teacher(method), _own_settings(method), _source(method))
                for name, method in METHODS.items()
            ],
        ),
        "presets": _table(
            ("setting", "`paper`", "`steady`", "what it does"),
            [
                (
                    setting.written,
                    _shown(setting.default),
                    _shown(PRESETS[Preset.STEADY][setting.name]),
                    setting.schema["description"],
                )
                for section in SECTIONS.values()
                for setting in _settings(section)
                if setting.name in PRESETS[Preset.STEADY]
            ],
        ),
        "published": _table(
            ("method", "its own"),
            [
                (f"`{name}`", ", ".join(f"`{setting}` {_shown(value)}" for setting, value in own.items()))
                for name, method in METHODS.items()
                if (own := {**method.defaults, **({"hint": method.hint} if method.hint else {})})
            ],
        ),
        "settings": "\n\n".join(f"## {title}\n\n{_of_section(section)}" for title, section in ALL_SECTIONS.items()),
    }


def with_tables(page: str) -> str:
    """Return a page with its tables, each between `<!-- table: NAME -->` and `<!-- end -->`, as they are now."""
    made = tables()
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    default: Any
    about: About | None
    schema: Mapping[str, Any]

    @property
    def written(self) -> str:
        """Its name with its symbol."""
        symbol = self.schema.get("x-symbol")
        return f"`{self.name}` ({symbol})" if symbol else f"`{self.name}`"

    @property
    def kind(self) -> str:
        """The field of a form that sets it."""
        return "choice" if "enum" in self.schema else KINDS.get(self.schema.get("type", ""), "text")


def _settings(section: type[Strict]) -> Iterator[_Setting]:
    schema = section.model_json_schema(by_alias=True)
    for field_name, field in section.model_fields.items():
        name = field.alias or field_name
        described = schema["properties"][name]
        choices = schema.get("$defs", {}).get(described.get("$ref", "").rpartition("/")[2], {})
        yield _Setting(name, field.default, about(field), choices | described)


def _label(about: About) -> str:
    """Return the label with the symbol, and with the unit if the label does not name it."""
    unit = f"({about.unit})" if about.unit not in about.label.casefold() else ""
    return " ".join(filter(None, (about.label, about.symbol, unit)))


def _when(when: When | None, *, section: type[Strict]) -> dict[str, Any] | None:
    if when is None:
        return None
    fields = RlsdSettings.model_fields | section.model_fields
    return asdict(when) | {"default": fields[when.setting].default}


def _of_section(section: type[Strict]) -> str:
    lines = [
        (
            setting.written,
            _values(setting),
            _shown(setting.default),
            setting.schema["description"],
            setting.about.why if setting.about else "",
            _readers(setting.about.part if setting.about else None),
        )
        for setting in _settings(section)
    ]
    return _table(("setting", "values", "default", "what it does", "why the default", "methods"), lines)


def _readers(part: Part | None) -> str:
    return "all" if part is None else _listed([name for name, method in METHODS.items() if part in method.parts])


def _values(setting: _Setting) -> str:
    unit = setting.schema.get("x-unit")
    of_unit = f" of {unit}" if unit else ""
    match setting.kind:
        case "choice":
            return _listed(setting.schema["enum"])
        case "whole":
            return f"whole number{of_unit}, {_range(setting.schema)}"
        case "number":
            return f"number{of_unit}, {_range(setting.schema)}"
        case "pair":
            return "number, or two"
        case "yes_no":
            return "yes, no"
        case _:
            most = setting.schema.get("maxLength")
            return "text" if most is None else f"text, up to {most:,} characters"


def _range(schema: Mapping[str, Any]) -> str:
    least = _number(schema["minimum"]) if "minimum" in schema else f"above {_number(schema['exclusiveMinimum'])}"
    most = _number(schema["maximum"]) if "maximum" in schema else f"below {_number(schema['exclusiveMaximum'])}"
    return f"{least} to {most}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _shown(value: Any) -> str:
    """Write a value of a setting."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(_number, value))
    return _number(value) if isinstance(value, int | float) else f"`{value}`"


def _teacher(method: Method) -> str:
    if method.teacher in TEACHERS:
        return TEACHERS[method.teacher]
    if method.hint is not None:
        return f"the model, always `{method.hint}`"
    return "the model, any hint" + (f" but `{method.contrast}`" if method.contrast else "")


def _own_settings(method: Method) -> str:
    return _listed(settings_of([part for part in method.parts if part not in OF_EVERY_TEACHER]))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _source(method: Method) -> str:
    server, _, paper = method.source.partition(" ")
    return f"[{paper}]({PAPERS}{paper})" if server == "arXiv" else method.source


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [[cell.replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
