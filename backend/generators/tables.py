"""Methods and settings as tables of the documentation, and as the form of the page.

The page knows the service by its API only, so it gets a file.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from backend.core.methods import METHODS, Method, Part, TeacherKind
from backend.core.settings.about import Strict, When
from backend.core.settings.choices import Preset
from backend.core.settings.spec import PRESETS, SECTIONS, RlsdSettings, settings_of
from backend.core.settings.table import ALL_SECTIONS, NESTED, Entry, entries, listed, shown

PAGES = ("docs/methods.md", "docs/presets.md", "docs/settings.md")
"""Pages that have tables of this module."""
PAPERS = "https://arxiv.org/abs/"
SHARED = (Part.REWARD, Part.ADVANTAGE, Part.HINT, Part.TEACHER, Part.REASONING, Part.FIRST_ERROR)
"""Parts that most methods have, so that their settings are nothing of a method's own."""
STEADY = PRESETS[Preset.STEADY].values
TEACHERS = {TeacherKind.NONE: "none", TeacherKind.EXTERNAL: "another model with the same tokenizer, no hint"}


def job_settings_form() -> str:
    """Return the form as JSON: titles of methods, `{sections: [{title, settings: [{name, label, ...}]}]}`."""
    sections = [
        {"title": title, "settings": [_field(setting, section) for setting in offered]}
        for title, section in ALL_SECTIONS.items()
        if (offered := [setting for setting in entries(section) if setting.about.in_form])
    ]
    form = {"methods": {name: method.title for name, method in METHODS.items()}, "sections": sections}
    return json.dumps(form, indent=1, ensure_ascii=False) + "\n"


def _field(setting: Entry, section: type[Strict]) -> dict[str, Any]:
    about = setting.about
    return {
        "name": setting.name,
        "label": about.label,
        "symbol": about.symbol,
        "unit": about.unit,
        "zero": about.zero,
        "kind": setting.kind,
        "by_preset": section in SECTIONS.values() and setting.name in STEADY,
        "why": about.why,
        "when": _when(about.when, section if section in NESTED.values() else RlsdSettings),
    }


def _when(when: When | None, scope: type[Strict]) -> dict[str, Any] | None:
    if when is None:
        return None
    defaults = {field.alias or name: field.get_default() for name, field in scope.model_fields.items()}
    return asdict(when) | {"default": defaults[when.setting]}


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
                (_written(setting), shown(setting.default), shown(STEADY[setting.name]), setting.description)
                for section in SECTIONS.values()
                for setting in entries(section)
                if setting.name in STEADY
            ],
        ),
        "published": _table(
            ("method", "its own"),
            [
                (f"`{name}`", ", ".join(f"`{setting}` {shown(value)}" for setting, value in own.items()))
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


def _of_section(section: type[Strict]) -> str:
    lines = [
        (
            _written(setting),
            setting.values,
            shown(setting.default),
            setting.description,
            setting.about.why,
            setting.readers,
        )
        for setting in entries(section)
    ]
    return _table(("setting", "values", "default", "what it does", "why the default", "methods"), lines)


def _written(setting: Entry) -> str:
    """Write a name with its symbol."""
    return f"`{setting.name}` ({setting.about.symbol})" if setting.about.symbol else f"`{setting.name}`"


def _teacher(method: Method) -> str:
    if method.teacher in TEACHERS:
        return TEACHERS[method.teacher]
    if method.hint is not None:
        return f"the model, always `{method.hint}`"
    return "the model, any hint" + (f" but `{method.contrast}`" if method.contrast else "")


def _own_settings(method: Method) -> str:
    return listed(settings_of([part for part in method.parts if part not in SHARED]))


def _source(method: Method) -> str:
    server, _, paper = method.source.partition(" ")
    return f"[{paper}]({PAPERS}{paper})" if server == "arXiv" else method.source


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [[cell.replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
