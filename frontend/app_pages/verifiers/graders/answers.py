"""Forms of the kinds that extract an answer from the text: number, mathematics, choice, JSON."""

import json

import streamlit as st

from frontend.api.types import Json
from frontend.app_pages.verifiers.graders.form import form, text_list, which_texts
from frontend.widgets import code_field

ABSOLUTE, SHARE = "absolute (in the answer's unit)", "percent of the answer"


DECIMAL_MARKS = {"As in the references": None, "Point: 1,234.5": ".", "Comma: 1.234,5": ","}
"""What the form offers, each with the grader's `decimal_mark`."""


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
        help="The largest deviation of a right answer. 0: exactly equal.",
    )
    kind = measure.selectbox("Tolerance type", [ABSOLUTE, SHARE], index=int(is_share), key=f"{key}_measure")
    written = st.text_area(
        "Units",
        units_text(grader.get("units", {})),
        height=100,
        placeholder="km = 1000\nm = 1",
        key=f"{key}_units",
        help="One unit per line, with its value in a common base unit; 1 without `=`. Empty: units are ignored.",
    )
    units, problem = units_of(written)
    if problem:
        st.warning(problem, icon=":material/warning:")
    mark = st.selectbox(
        "Decimal mark",
        list(DECIMAL_MARKS),
        index=list(DECIMAL_MARKS.values()).index(grader.get("decimal_mark")),
        key=f"{key}_mark",
        help="How `1,234` and `1.234` are read, which can mean two numbers each.",
    )
    tolerance: float | str = f"{amount:g}%" if kind == SHARE else amount
    given = {"tolerance": tolerance, "units": units, "decimal_mark": DECIMAL_MARKS[mark]}
    return which_texts(grader, key) | {name: value for name, value in given.items() if value not in ({}, None)}


def units_text(units: Json | list[str]) -> str:
    """Return one line per unit."""
    if isinstance(units, list):
        return "\n".join(units)
    return "\n".join(f"{unit} = {factor:g}" for unit, factor in units.items())


def units_of(written: str) -> tuple[dict[str, float], str | None]:
    """Parse units. Returns (value by unit, the problem of the first invalid line)."""
    units: dict[str, float] = {}
    for number, line in enumerate(written.splitlines(), start=1):
        unit, equals, factor = (part.strip() for part in line.partition("="))
        if not unit and not equals:
            continue
        try:
            units[unit] = float(factor) if equals else 1.0
        except ValueError:
            return units, f"Line {number} of the units: '{factor}' is not a number. Write for example `km = 1000`."
    return units, None


def _math(grader: Json, key: str) -> Json:
    return which_texts(grader, key)


def _choice(grader: Json, key: str) -> Json:
    choices = text_list(
        "Choices",
        list(grader.get("choices", "ABCD")),
        key=f"{key}_choices",
        help="The letters or words among which an answer chooses.",
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
        st.warning(f"This is not valid JSON: {error}", icon=":material/warning:")
        schema = given
    return which_texts(grader, key, compared=False) | {"schema": schema}


NUMBER = form(_number, "tolerance", "units", "decimal_mark", "input", "reference")
MATH = form(_math, "input", "reference")
CHOICE = form(_choice, "choices", "input", "reference")
JSON_SCHEMA = form(_json_schema, "schema", "input")
