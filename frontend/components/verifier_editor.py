"""The fields of a verifier by its kind, as one grader object."""

import json
import re
from collections.abc import Callable

import streamlit as st

from frontend.shapes import Json
from frontend.verifier_starts import BLANKS, KIND_HELP, KINDS, OPERATIONS

FLAGS = {"i": "ignore case", "s": "dot matches line ends", "m": "^ and $ at each line"}


def fields(grader: Json, *, key: str) -> Json:
    """Widgets filled from `grader`; returns the object as edited. `key` keeps drafts of different verifiers apart."""
    kinds = list(dict.fromkeys([*KINDS, grader["type"]]))
    kind = (
        st.segmented_control(
            "Kind",
            kinds,
            format_func=lambda kind: KINDS.get(kind, kind),
            default=grader["type"],
            required=True,
            key=f"{key}_kind",
        )
        or grader["type"]
    )
    st.caption(KIND_HELP.get(kind, ""))
    same = grader if grader["type"] == kind else {}
    form = FIELDS.get(kind)
    edited = form(same, f"{key}_{kind}") if form else _as_json(same or BLANKS.get(kind, {}), f"{key}_{kind}")
    zero = st.checkbox(
        "An error counts as 0",
        value=bool(same.get("error_counts_as_zero")),
        key=f"{key}_{kind}_zero",
        help="OpenAI's meaning. Off: completions that the verifier fails on are left out and counted as errors.",
    )
    return {"type": kind, **edited} | ({"error_counts_as_zero": True} if zero else {})


def _python(grader: Json, key: str) -> Json:
    with st.container(key="code"):
        source = st.text_area(
            "Python source",
            value=grader.get(
                "source", 'def grade(item, output_text):\n    return 1.0 if item["answer"] in output_text else 0.0\n'
            ),
            height=340,
            key=f"{key}_source",
            help="`item` is the row as uploaded, `output_text` what the model wrote. Also accepted: the signatures of "
            "OpenAI (sample, item), TRL, verl and others. Return a number, None to abstain, or "
            '{"score": …, "reason": …, "components": {…}}.',
        )
    return {"source": source}


def _regex(grader: Json, key: str) -> Json:
    with st.container(key="code"):
        pattern = st.text_area(
            "Pattern",
            value=grader.get("pattern", r"answer:\s*(?P<answer>.+)"),
            height=100,
            key=f"{key}_pattern",
            help="Python's syntax. Without a group named answer, any match scores 1.",
        )
    problem = pattern_problem(pattern)
    if problem:
        st.warning(problem, icon=":material/warning:")
    elif "(?P<answer>" in pattern:
        st.caption("The group `answer` is compared with the row's reference answer.")
    else:
        st.caption("There is no group `answer`: any match scores 1.")
    flags = st.pills(
        "Flags",
        list(FLAGS),
        format_func=FLAGS.__getitem__,
        selection_mode="multi",
        default=[flag for flag in FLAGS if flag in grader.get("flags", "")],
        key=f"{key}_flags",
    )
    kept: Json = {name: grader[name] for name in ("input", "reference") if name in grader}
    return {"pattern": pattern, **kept, **({"flags": "".join(flags)} if flags else {})}


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with the pattern and where, before it is sent. It is only compiled here, never run."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        place = getattr(error, "pos", None)
        return f"Not a pattern yet: {error}" + (f": `{pattern[place : place + 20]}`" if place is not None else "")
    return None


def _string_check(grader: Json, key: str) -> Json:
    text = st.text_input("Text", value=grader.get("input", "{{sample.output_text}}"), key=f"{key}_input")
    operations = list(OPERATIONS)
    operation = st.selectbox(
        "Comparison",
        operations,
        index=operations.index(grader.get("operation", "ilike")),
        format_func=OPERATIONS.__getitem__,
        key=f"{key}_operation",
    )
    reference = st.text_input(
        "Reference",
        value=grader.get("reference", "{{item.answer}}"),
        key=f"{key}_reference",
        help="{{item.column}} stands for a column of the row.",
    )
    return {"input": text, "reference": reference, "operation": operation}


def _as_json(grader: Json, key: str) -> Json:
    """For kinds without a form: their fields as JSON, sent as they are; the API says what is wrong with one."""
    own = {name: value for name, value in grader.items() if name not in ("type", "error_counts_as_zero")}
    with st.container(key="code"):
        text = st.text_area(
            "Fields", value=json.dumps(own, indent=2, ensure_ascii=False), height=340, key=f"{key}_json"
        )
    try:
        edited = json.loads(text)
    except ValueError as error:
        st.warning(f"Not JSON yet: {error}", icon=":material/warning:")
        return own
    if not isinstance(edited, dict):
        st.warning("The fields are an object: { … }.", icon=":material/warning:")
        return own
    return edited


FIELDS: dict[str, Callable[[Json, str], Json]] = {"python": _python, "regex": _regex, "string_check": _string_check}
