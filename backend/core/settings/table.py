"""The settings of a job as entries of a table: their values, defaults and readers in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.methods import methods_with
from backend.core.settings.about import About, Strict, about
from backend.core.settings.credit import Practice
from backend.core.settings.imitation import WarmStart
from backend.core.settings.spec import SECTIONS
from backend.core.settings.update import Lora

NESTED: Mapping[str, type[Strict]] = {"Warm start": WarmStart, "Practice": Practice, "Adapter (LoRA)": Lora}
"""Sections whose settings are those of one setting: `warm_start`, `practice`, `lora`."""
ALL_SECTIONS: Mapping[str, type[Strict]] = {**SECTIONS, **NESTED}
KINDS = {"boolean": "yes_no", "integer": "whole", "number": "number", "array": "pair", "string": "text"}
"""The field of a form, by the type in the schema."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting of a section."""

    name: str
    """Its name in the API."""
    default: Any
    about: About
    description: str
    schema: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The field of a form that sets it. ValueError for a type that no field has."""
        if "enum" in self.schema:
            return "choice"
        if self.schema.get("type") == "array" and "prefixItems" not in self.schema:
            return "list"
        types = {each.get("type") for each in self.schema.get("anyOf", [self.schema])} - {"null"}
        found = "text" if "string" in types else KINDS.get(types.pop() or "") if len(types) == 1 else None
        if found is None:
            raise ValueError(f"{self.name}: the form has no field for its type: give it another, or add one to KINDS")
        return found

    @property
    def values(self) -> str:
        """What it may be."""
        of_unit = f" of {self.about.unit}" if self.about.unit else ""
        match self.kind:
            case "choice":
                return listed(self.schema["enum"])
            case "whole":
                return f"whole number{of_unit}, {_range(self.schema)}"
            case "number":
                return f"number{of_unit}, {_range(self.schema)}"
            case "pair":
                return "number, or two"
            case "list":
                return f"list of up to {self.schema['maxItems']} whole numbers"
            case "yes_no":
                return "yes, no"
            case _:
                most = self.schema.get("maxLength")
                return "text" if most is None else f"text, up to {most:,} characters"

    @property
    def readers(self) -> str:
        """The methods that read it."""
        return "all" if self.about.part is None else listed(methods_with(self.about.part))


def entries(section: type[Strict]) -> Iterator[Entry]:
    """Yield the settings of a section, in the order of their fields."""
    schema = section.model_json_schema(by_alias=True)
    for field_name, field in section.model_fields.items():
        name = field.alias or field_name
        described = schema["properties"][name]
        choices = schema.get("$defs", {}).get(described.get("$ref", "").rpartition("/")[2], {})
        yield Entry(name, field.get_default(), about(field_name, field), field.description or "", choices | described)


def shown(value: Any) -> str:
    """Write a value of a setting."""
    if value in (None, "", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(_number, value))
    return _number(value) if isinstance(value, int | float) else f"`{value}`"


def listed(names: Sequence[str]) -> str:
    """Write names in a row."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def _range(schema: Mapping[str, Any]) -> str:
    least = _number(schema["minimum"]) if "minimum" in schema else f"above {_number(schema['exclusiveMinimum'])}"
    most = _number(schema["maximum"]) if "maximum" in schema else f"below {_number(schema['exclusiveMaximum'])}"
    return f"{least} to {most}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
