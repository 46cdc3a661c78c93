"""All forms by the kind of verifier: those of one kind, and `multi`, which nests them."""

import streamlit as st

from frontend.api.types import Json
from frontend.pages.verifiers.graders import answers, judge, program, texts
from frontend.pages.verifiers.graders.form import Form, form
from frontend.pages.verifiers.graders.repeated import growing
from frontend.words.verifier_kinds import KINDS, SEVERAL

SINGLE: dict[str, Form] = {
    "python": program.PYTHON,
    "regex": texts.REGEX,
    "string_check": texts.STRING_CHECK,
    "number": answers.NUMBER,
    "math": answers.MATH,
    "choice": answers.CHOICE,
    "json_schema": answers.JSON_SCHEMA,
    "text_similarity": texts.TEXT_SIMILARITY,
    "score_model": judge.SCORE_MODEL,
    "label_model": judge.LABEL_MODEL,
}
Named = tuple[str, Json]
"""The name that a formula calls a grader by, and the grader."""


def _multi(grader: Json, key: str) -> Json:
    given = named(grader.get("graders") or SEVERAL["graders"])
    parts: list[Named] = growing(
        given, key=f"{key}_graders", draw=_part, new=lambda: ("", {"type": "string_check"}), noun="grader"
    )
    names = [name for name, _ in parts]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice or "" in names:
        told = f"Two graders are called '{twice[0]}'." if twice else "A grader has no name yet."
        st.warning(told + " The formula calls each by its own.", icon=":material/warning:")
    formula = st.text_input(
        "Formula",
        grader.get("calculate_output", SEVERAL["calculate_output"]),
        key=f"{key}_formula",
        help="Of the graders' scores, by their names: numbers, + - * / ^, parentheses, min, max, abs, floor, ceil, "
        "exp, sqrt, log, pow.",
    )
    st.caption(f"There are: {', '.join(f'`{name}`' for name in names if name)}.")
    return {"graders": dict(parts), "calculate_output": formula}


def named(graders: Json) -> list[Named]:
    """By name; a single grader in their place, as OpenAI's client types it, under its own."""
    if isinstance(graders.get("type"), str):
        return [(str(graders.get("name", "")), graders)]
    return list(graders.items())


def _part(part: Named, key: str, place: int) -> Named:
    given_name, grader = part
    called, kind = st.columns(2)
    name = called.text_input("Called", given_name, key=f"{key}_called", placeholder=f"part_{place + 1}")
    kinds = list(dict.fromkeys([*SINGLE, str(grader.get("type"))]))
    chosen = kind.selectbox(
        "Kind of grader",
        kinds,
        index=kinds.index(str(grader.get("type"))),
        format_func=lambda kind: KINDS.get(kind, kind),
        key=f"{key}_kind",
    )
    if chosen not in SINGLE:
        st.caption("This kind has no form here: edit it as JSON.")
        return name.strip(), grader
    same = grader if chosen == grader.get("type") else {}
    return name.strip(), {"type": chosen, **SINGLE[chosen].edited(same, f"{key}_{chosen}")}


FORMS: dict[str, Form] = {**SINGLE, "multi": form(_multi, "graders", "calculate_output")}
