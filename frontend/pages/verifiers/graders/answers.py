"""Forms of the kinds that read an answer out of the text: number, mathematics, choice, JSON."""

import json

import streamlit as st

from frontend.api.types import Json
from frontend.pages.verifiers.graders.form import form, which_texts, words
from frontend.widgets import code_field

ABSOLUTE, SHARE = "of the answer's own measure", "percent of the answer"


def _number(grader: Json, key: str) -> Json:
    given = grader.get("tolerance", 0.0)
    is_share = isinstance(given, str)
    width, measure = st.columns([1, 2])
    amount = width.number_input(
        "Tolerance",
        min_value=0.0,
        value=float(given.strip(" %") or 0) if is_share else float(given),
        step=0.1,
        format="%g",
        key=f"{key}_tolerance",
        help="How far off an answer may be and still be right. 0: equal.",
    )
    kind = measure.selectbox("in", [ABSOLUTE, SHARE], index=int(is_share), key=f"{key}_measure")
    written = st.text_area(
        "Units",
        units_text(grader.get("units", {})),
        height=100,
        placeholder="km = 1000\nm = 1",
        key=f"{key}_units",
        help="One a line, with how many of one common unit it is worth; without `=` it is worth 1. Empty: units are "
        "not looked at.",
    )
    units, problem = units_of(written)
    if problem:
        st.warning(problem, icon=":material/warning:")
    tolerance: float | str = f"{amount:g}%" if kind == SHARE else amount
    return which_texts(grader, key) | {"tolerance": tolerance} | ({"units": units} if units else {})


def units_text(units: Json | list[str]) -> str:
    """A line a unit."""
    if isinstance(units, list):
        return "\n".join(units)
    return "\n".join(f"{unit} = {factor:g}" for unit, factor in units.items())


def units_of(written: str) -> tuple[dict[str, float], str | None]:
    """(unit -> worth, what is wrong with the first line that is no unit)."""
    units: dict[str, float] = {}
    for number, line in enumerate(written.splitlines(), start=1):
        unit, equals, factor = (part.strip() for part in line.partition("="))
        if not unit and not equals:
            continue
        try:
            units[unit] = float(factor) if equals else 1.0
        except ValueError:
            return units, f"Line {number} of the units: '{factor}' is no number. Write `km = 1000`."
    return units, None


def _math(grader: Json, key: str) -> Json:
    return which_texts(grader, key)


def _choice(grader: Json, key: str) -> Json:
    choices = words(
        "Choices",
        list(grader.get("choices", "ABCD")),
        key=f"{key}_choices",
        help="The letters or words that an answer can be.",
    )
    return which_texts(grader, key) | {"choices": choices}


def _json_schema(grader: Json, key: str) -> Json:
    given = grader.get("schema", {"type": "object", "required": []})
    written = code_field.field(
        "JSON schema",
        json.dumps(given, indent=2, ensure_ascii=False),
        language="json",
        key=f"{key}_schema",
        height_px=300,
    )
    try:
        schema = json.loads(written)
    except ValueError as error:
        st.warning(f"Not JSON yet: {error}", icon=":material/warning:")
        schema = given
    return which_texts(grader, key, compared=False) | {"schema": schema}


NUMBER = form(_number, "tolerance", "units", "input", "reference")
MATH = form(_math, "input", "reference")
CHOICE = form(_choice, "choices", "input", "reference")
JSON_SCHEMA = form(_json_schema, "schema", "input")
