"""What was found in a file, as pictures: one part of the report at a time."""

import csv
import io

import streamlit as st

from frontend import report_charts, units
from frontend.client import Client
from frontend.components import token_lengths
from frontend.shapes import DataFile, FileReport, Problem

LENGTHS, ANSWERS, LANGUAGES, REPEATED = "Lengths", "Answers", "Languages", "Repeated"
OVERLAP, TOKENS, WARNINGS, BAD = "Overlap", "Tokens", "Warnings", "Bad rows"
UNKNOWN = "und"


def panel(client: Client, file: DataFile, report: FileReport) -> None:
    st.subheader("What is in it", anchor=False)
    parts = [LENGTHS, TOKENS, ANSWERS, LANGUAGES, REPEATED, OVERLAP]
    parts += [WARNINGS] if report.get("warned") else []
    parts += [BAD] if report["bad"] else []
    part = st.segmented_control(
        "Part of the report", parts, default=parts[0], required=True, key="report_part", label_visibility="collapsed"
    )
    if part == LENGTHS:
        _lengths(report)
    elif part == TOKENS:
        token_lengths.panel(client, file, report)
    elif part == ANSWERS:
        _answers(report)
    elif part == LANGUAGES:
        _languages(report)
    elif part == REPEATED:
        _repeated(report)
    elif part == OVERLAP:
        _overlap(client, file)
    elif part == WARNINGS:
        st.caption("These rows were taken, and look odd.")
        _problems(report["warnings"], count=report["warned"], name=f"{file['filename']}-warnings.csv")
    elif part == BAD:
        st.caption("These rows could not be read and were left out.")
        _problems(report["problems"], count=report["bad"], name=f"{file['filename']}-bad-rows.csv")


def _lengths(report: FileReport) -> None:
    lengths = report.get("lengths") or {}
    for part in ("question", "answer", "solution"):
        if lengths.get(part):
            report_charts.spread(lengths[part], of=part, unit="characters", key=f"lengths_{part}")
    if not lengths:
        _not_known()


def _answers(report: FileReport) -> None:
    answers = report.get("answers")
    if answers is None:
        _not_known()
        return
    if not answers["most"]:
        st.info("No answer is short enough to be one of a few.", icon=":material/short_text:")
        return
    report_charts.frequencies(answers["most"], name="answer", key="answers", alt_text="The most frequent short answers")
    lucky = answers["most"][0]["rows"] / answers["short"]
    st.caption(
        f"{units.count(answers['short'], 'short answer')}, {answers['distinct']:,} of them different. A model that "
        f"always says the most frequent one would be right in {units.percent(lucky)} of them."
    )


def _languages(report: FileReport) -> None:
    languages = report.get("languages")
    if languages is None:
        _not_known()
        return
    table = [
        {"language": "not told" if each["language"] == UNKNOWN else each["language"], "rows": each["rows"]}
        for each in languages["found"]
    ]
    report_charts.frequencies(table, name="language", key="languages", alt_text="Languages of the questions")
    st.caption(
        f"Of {units.count(languages['checked'], 'question')}, by ISO 639 code. Formulas and a few words are in no "
        "language that could be told."
    )


def _repeated(report: FileReport) -> None:
    equal, near = report.get("duplicates"), report.get("near_duplicates")
    if equal is None or near is None:
        _not_known()
        return
    _pictured(report["good"], equal=equal["rows"], near=near["rows"])
    exact, alike = st.columns(2)
    exact.metric("Rows equal to an earlier one", f"{equal['rows']:,}", border=True)
    alike.metric("Questions nearly those of an earlier row", f"{near['rows']:,}", border=True)
    if equal["groups"]:
        table = [
            {"first": group["first"], "rows": group["rows"], "also": ", ".join(map(str, group["others"]))}
            for group in equal["groups"]
        ]
        st.dataframe(table, hide_index=True, alt="Equal rows, by line")
    if near["pairs"]:
        st.dataframe(
            near["pairs"],
            hide_index=True,
            alt="Nearly equal questions, by line",
            column_order=["line", "like", "similarity"],
            column_config={"similarity": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1)},
        )
    if near["checked"]:
        st.caption(f"Nearness was looked for in the first {units.count(near['checked'], 'question')}.")
    else:
        st.caption("Nearness is looked for in longer questions of words alone; there are none here.")


def _pictured(rows: int, *, equal: int, near: int) -> None:
    table = [
        {"kind": "new in the file", "rows": max(0, rows - equal - near)},
        {"kind": "nearly an earlier one", "rows": near},
        {"kind": "equal to an earlier one", "rows": equal},
    ]
    report_charts.frequencies(
        table, name="kind", key="repeated", alt_text="How many rows are new, nearly so, or repeated"
    )
    if equal + near:
        st.caption("What is repeated is learnt more often than the rest: leave it out under “Versions”.")


def _overlap(client: Client, file: DataFile) -> None:
    others = {each["id"]: each["filename"] for each in client.datasets() if each["id"] != file["id"]}
    if not others:
        st.info("There is no other dataset to compare with.", icon=":material/inbox:")
        return
    other = st.selectbox(
        "Compare with", list(others), index=None, format_func=others.__getitem__, key="overlap_with", width=420
    )
    if other is None:
        st.caption("Rows on both sides of training and validation make a model look better than it is.")
        return
    found = client.file_report(file["id"], against=other)["overlap"] or {}
    rows, questions = st.columns(2)
    rows.metric("Rows that are in both", f"{found['rows']:,}", border=True)
    questions.metric("Rows whose question is in both", f"{found['questions']:,}", border=True)
    if found["pairs"]:
        st.dataframe(found["pairs"], hide_index=True, alt="Shared questions, by line")


def _problems(problems: list[Problem], *, count: int, name: str) -> None:
    counted_in = "row" if any(problem.get("row") is not None for problem in problems) else "line"
    st.dataframe(
        list(problems),
        hide_index=True,
        alt="Lines and what is wrong with them",
        column_order=[counted_in, "message", "code"],
        column_config={
            counted_in: st.column_config.NumberColumn(width="small", format="%d"),
            "message": st.column_config.TextColumn("what is wrong", width="large"),
            "code": st.column_config.TextColumn("kind", width="small"),
        },
        height=min(38 + 35 * max(1, len(problems)), 320),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download as CSV",
            data=as_csv(problems),
            file_name=name,
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if count > len(problems):
            st.caption(f"The first {len(problems):,} of {count:,}.")


def as_csv(problems: list[Problem]) -> str:
    """Lines, codes and messages; a cell that a spreadsheet would run as a formula is a text."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["line", "code", "message"])
    for problem in problems:
        place = problem["line"] if problem.get("line") is not None else problem.get("row")
        message = problem["message"]
        writer.writerow(
            [place, problem["code"], f"'{message}" if message.startswith(("=", "+", "-", "@")) else message]
        )
    return table.getvalue()


def _not_known() -> None:
    st.info("This file was read before that was looked at: upload it again.", icon=":material/history:")
