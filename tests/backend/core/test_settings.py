"""Each setting's entry is whole: what form, documentation and schema say of it stands there."""

import json
from typing import Annotated, Any

import pytest
from pydantic import Field

from backend.core.settings.about import About, Strict, When
from backend.core.settings.table import ALL_SECTIONS, Entry, entries
from backend.generators.tables import job_settings_form

WITHOUT_UNIT = {"r"}
"""Whole numbers that count nothing that has a name: a rank is a rank."""
ENTRIES = [entry for section in ALL_SECTIONS.values() for entry in entries(section)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_setting_says_what_it_is(entry: Entry) -> None:
    assert entry.description, "describe it in its Field"
    assert entry.about.label, "About needs a label"
    assert entry.about.why, "About needs the reason for the default (why)"
    assert entry.kind
    if entry.kind == "whole" and entry.name not in WITHOUT_UNIT:
        assert entry.about.unit, "About of a whole number needs a unit, such as `tokens` (or an entry in WITHOUT_UNIT)"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_label_is_a_name_alone(entry: Entry) -> None:
    assert "0:" not in entry.about.label, "say what 0 stands for in About's zero, not in the label"


def test_a_setting_without_facts_is_refused_saying_what_to_add() -> None:
    class Section(Strict):
        made_up: int = Field(1, description="Made up.")

    with pytest.raises(ValueError, match="made_up has no About: add one"):
        list(entries(Section))


def test_an_optional_number_has_the_field_of_a_number_and_a_mapping_none() -> None:
    class Section(Strict):
        made_up: Annotated[int | None, About("Made up", why="It is.")] = Field(None, description="Made up.")
        mapped: Annotated[dict[str, Any] | None, About("Mapped", why="It is.")] = Field(None, description="Mapped.")

    made_up, mapped = entries(Section)
    assert made_up.kind == "whole"
    with pytest.raises(ValueError, match="mapped: the form has no field for its type"):
        _ = mapped.kind


def test_a_setting_may_depend_on_one_whose_name_in_the_api_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    class Section(Strict):
        made_up: Annotated[bool, About("Made up", why="It is.", when=When("lambda", 0, differs=True))] = Field(
            False, description="Made up."
        )

    monkeypatch.setitem(ALL_SECTIONS, "Made up", Section)  # type: ignore[arg-type]
    [*_, section] = json.loads(job_settings_form())["sections"]
    assert section["settings"][0]["when"] == {"setting": "lambda", "value": 0, "differs": True, "default": 0.5}
