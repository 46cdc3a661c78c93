"""Forms of the kinds that compare texts: comparison, regular expression, similarity."""

import re

import streamlit as st

from frontend.api.types import Json
from frontend.app_pages.verifiers.graders.form import ANSWER, OUTPUT_TEXT, PLACEHOLDERS, form, which_texts
from frontend.widgets import code_field
from frontend.words.verifier_kinds import METRICS, OPERATIONS

FLAGS = {"i": "ignore case", "s": "dot matches newline", "m": "^ $ per line", "x": "verbose", "a": "ASCII"}
FLAGS_HELP = (
    "Ignore case; a dot also matches newlines; ^ and $ match at each line; ignore spaces and comments in the pattern; "
    r"\w, \d and \s match only ASCII."
)


def _string_check(grader: Json, key: str) -> Json:
    text = st.text_input("Text", grader.get("input", OUTPUT_TEXT), key=f"{key}_input", help=PLACEHOLDERS)
    operations = list(OPERATIONS)
    given = str(grader.get("operation", "ilike"))
    operation = st.selectbox(
        "Comparison",
        operations,
        index=operations.index("ne" if given == "neq" else given),
        format_func=OPERATIONS.__getitem__,
        key=f"{key}_operation",
    )
    reference = st.text_input("Reference", grader.get("reference", ANSWER), key=f"{key}_reference", help=PLACEHOLDERS)
    return {"input": text, "reference": reference, "operation": operation}


def _regex(grader: Json, key: str) -> Json:
    pattern = code_field.field(
        "Pattern",
        grader.get("pattern", r"(?i)answer:\s*(?P<answer>.+)"),
        language="regex",
        key=f"{key}_pattern",
        height_px=90,
    )
    problem = pattern_problem(pattern)
    compares = "(?P<answer>" in pattern
    if problem:
        st.warning(problem, icon=":material/warning:")
    elif compares:
        st.caption("The group `answer` is compared with the row's reference answer.")
    else:
        st.caption("The pattern has no group `answer`, so any match scores 1.")
    flags = st.pills(
        "Flags",
        list(FLAGS),
        format_func=FLAGS.__getitem__,
        selection_mode="multi",
        default=[flag for flag in FLAGS if flag in grader.get("flags", "")],
        key=f"{key}_flags",
        help=FLAGS_HELP,
    )
    texts = which_texts(grader, key, compared=compares)
    return {"pattern": pattern, **texts, **({"flags": "".join(flags)} if flags else {})}


def pattern_problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, and where. It is only compiled here, never run."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        place = getattr(error, "pos", None)
        return f"This is not a valid pattern: {error}" + (
            f": `{pattern[place : place + 20]}`" if place is not None else ""
        )
    return None


def _text_similarity(grader: Json, key: str) -> Json:
    metrics = list(METRICS)
    metric = st.selectbox(
        "Measure",
        metrics,
        index=metrics.index(grader["evaluation_metric"]) if grader.get("evaluation_metric") in metrics else 0,
        format_func=METRICS.__getitem__,
        key=f"{key}_metric",
    )
    text = st.text_input("Text", grader.get("input", OUTPUT_TEXT), key=f"{key}_input", help=PLACEHOLDERS)
    reference = st.text_input("Reference", grader.get("reference", ANSWER), key=f"{key}_reference", help=PLACEHOLDERS)
    return {"input": text, "reference": reference, "evaluation_metric": metric}


STRING_CHECK = form(_string_check, "input", "reference", "operation")
REGEX = form(_regex, "pattern", "input", "reference", "flags")
TEXT_SIMILARITY = form(_text_similarity, "input", "reference", "evaluation_metric")
