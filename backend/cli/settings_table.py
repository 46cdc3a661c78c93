"""The settings of a job as text for a terminal."""

from difflib import get_close_matches
from typing import Any, get_args

from pydantic.fields import FieldInfo

from backend.core.settings.spec import RlsdSettings
from backend.core.settings.table import ALL_SECTIONS, Entry, entries, shown
from backend.errors import AppError


def all_settings() -> str:
    """Return all settings by section: name, values, default, and what each does."""
    return "\n\n".join(
        "\n".join(
            [title, *(f"  {name}: {_values(each)}. {each.description}" for name, each in _of_section(title).items())]
        )
        for title in ALL_SECTIONS
    )


def one_setting(name: str) -> str:
    """Return all about a setting. Raises AppError if there is none of this name."""
    known = {name: each for title in ALL_SECTIONS for name, each in _of_section(title).items()}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        advice = f"did you mean '{near[0]}'?" if near else "`rlsd settings` lists all."
        raise AppError(f"There is no setting '{name}': {advice}", status=404, code="not_found", param="name")
    found = known[name]
    return "\n".join(
        [
            f"{name}: {_values(found)}. {found.description}",
            f"Why this default: {found.about.why}",
            f"Methods that read it: {_plain(found.readers)}.",
        ]
    )


def _of_section(title: str) -> dict[str, Entry]:
    section = ALL_SECTIONS[title]
    prefix = next((f"{name}." for name, field in RlsdSettings.model_fields.items() if section in _types(field)), "")
    return {f"{prefix}{each.name}": each for each in entries(section)}


def _types(field: FieldInfo) -> tuple[Any, ...]:
    return (field.annotation, *get_args(field.annotation))


def _values(entry: Entry) -> str:
    return f"{_plain(entry.values)}; default {_plain(shown(entry.default))}"


def _plain(text: str) -> str:
    """Remove the marks of code, which a terminal does not show as such."""
    return text.replace("`", "")
