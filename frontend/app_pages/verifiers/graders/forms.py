"""All forms by kind of verifier: single graders, and `multi`, which nests them."""

import streamlit as st

from frontend.api.types import Json
from frontend.app_pages.verifiers.graders import answers, judge, program, texts
from frontend.app_pages.verifiers.graders.form import DEFAULT_RANGE, Form, form, score_range
from frontend.app_pages.verifiers.graders.repeated import editable_list
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
"""The name of a grader in the formula, and the grader."""


def _multi(grader: Json, key: str) -> Json:
    given = named(grader.get("graders") or SEVERAL["graders"])
    parts: list[Named] = editable_list(
        given, key=f"{key}_graders", draw=_part, new=lambda: ("", {"type": "string_check"}), noun="grader"
    )
    names = [name for name, _ in parts]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice or "" in names:
        problem = f"Two graders have the name '{twice[0]}'." if twice else "A grader has no name."
        st.warning(problem + " The formula needs a unique name for each.", icon=":material/warning:")
    formula = st.text_input(
        "Formula",
        grader.get("calculate_output", SEVERAL["calculate_output"]),
        key=f"{key}_formula",
        help="Combines the graders' scores by name. Allowed: numbers, + - * / ^, parentheses, min, max, abs, floor, "
        "ceil, exp, sqrt, log, pow.",
    )
    st.caption(f"Available names: {', '.join(f'`{name}`' for name in names if name)}.")
    ends = score_range(grader, key, help="A value of the formula beyond is an error of its row.")
    chosen = {"range": list(ends)} if "range" in grader or ends != DEFAULT_RANGE else {}
    return {"graders": dict(parts), "calculate_output": formula} | chosen


def named(graders: Json) -> list[Named]:
    """Return graders by name. A single grader in their place, as OpenAI's client allows, keeps its own name."""
    if isinstance(graders.get("type"), str):
        return [(str(graders.get("name", "")), graders)]
    return list(graders.items())


def _part(part: Named, key: str, place: int) -> Named:
    given_name, grader = part
    called, kind = st.columns(2)
    name = called.text_input("Name in the formula", given_name, key=f"{key}_called", placeholder=f"part_{place + 1}")
    kinds = list(dict.fromkeys([*SINGLE, str(grader.get("type"))]))
    chosen = kind.selectbox(
        "Grader kind",
        kinds,
        index=kinds.index(str(grader.get("type"))),
        format_func=lambda kind: KINDS.get(kind, kind),
        key=f"{key}_kind",
    )
    if chosen not in SINGLE:
        st.caption("This kind has no form. Edit it as JSON.")
        return name.strip(), grader
    same = grader if chosen == grader.get("type") else {}
    return name.strip(), {"type": chosen, **SINGLE[chosen].edited(same, f"{key}_{chosen}")}


FORMS: dict[str, Form] = {**SINGLE, "multi": form(_multi, "graders", "calculate_output", "range")}
