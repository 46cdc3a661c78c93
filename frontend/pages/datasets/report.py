"""What was found in a file, as pictures: one part of the report at a time."""

import csv
import io
from typing import Any

import streamlit as st

from frontend.api import Client
from frontend.api.types import DataFile, FileReport, Problem
from frontend.pages.datasets import charts as report_charts
from frontend.pages.datasets import rows as dataset_rows
from frontend.pages.datasets import token_lengths
from frontend.words import units

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
        _bad_rows(file, report)


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
            {
                "question": group.get("question"),
                "row": group.get("number"),
                "line": group["first"],
                "rows": group["rows"],
                "also rows": ", ".join(map(str, group.get("other_numbers", []))),
                "also lines": ", ".join(map(str, group["others"])),
            }
            for group in equal["groups"]
        ]
        _rows(table, key="equal_rows", alt="Equal rows")
    if near["pairs"]:
        table = [
            {
                "question": pair.get("question"),
                "row": pair.get("number"),
                "line": pair["line"],
                "like row": pair.get("like_number"),
                "like line": pair["like"],
                "similarity": pair["similarity"],
            }
            for pair in near["pairs"]
        ]
        _rows(table, key="near_rows", alt="Nearly equal questions")
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
        table = [
            {
                "question": pair["question"],
                "row": pair["number"],
                "line": pair["line"],
                "their row": pair["their_number"],
                "their line": pair["their_line"],
                "all of it": pair["same_row"],
            }
            for pair in found["pairs"]
        ]
        _rows(table, key="shared_rows", alt="Shared questions")


def _rows(table: list[dict[str, Any]], *, key: str, alt: str) -> None:
    """Rows of this dataset, one a line; a click looks at it. Reports of earlier releases know their lines alone."""
    numbers = [line["row"] for line in table]
    known = None not in numbers
    st.dataframe(
        table,
        hide_index=True,
        alt=alt,
        key=key,
        on_select=(lambda: dataset_rows.look_at(key, numbers)) if known else "ignore",
        selection_mode="single-row",
        column_order=None if known else [name for name in table[0] if table[0][name] not in (None, "")],
        column_config={
            "question": st.column_config.TextColumn(width="large"),
            "similarity": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1),
        },
    )
    opens = " A click on the left of a line shows the row under “Look at row”, below." if known else ""
    st.caption(f"Rows count from 0, lines of the file from 1.{opens}")


def _bad_rows(file: DataFile, report: FileReport) -> None:
    name, problems = file["filename"], report["problems"]
    st.caption("These rows could not be read and were left out.")
    _problems(problems, count=report["bad"], name=f"{name}-bad-rows.csv")
    kept = [read for problem in problems if (read := _read(problem))]
    if kept:
        st.download_button(
            "Download the rows",
            data=as_lines(kept),
            file_name=f"{name}-bad-rows.jsonl",
            mime="application/jsonl",
            icon=":material/edit_note:",
            on_click="ignore",
            help="As they were read, one a line: mend them in an editor and add the file as a dataset.",
        )
    missing = len(problems) - len(kept)
    if missing:
        st.caption(
            f"{units.count(missing, 'row')} could not be kept: no text, too long, or read before such rows were kept. "
            "The place leads to each in the original."
        )


def _problems(problems: list[Problem], *, count: int, name: str) -> None:
    counted_in = "row" if any(problem.get("row") is not None for problem in problems) else "line"
    st.dataframe(
        list(problems),
        hide_index=True,
        alt="Lines and what is wrong with them",
        column_order=[counted_in, "message", "code", *(["read"] if any(map(_read, problems)) else [])],
        column_config={
            "read": st.column_config.TextColumn("the row", width="large"),
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


def as_lines(rows: list[str]) -> str:
    """Each on a line of its own, as JSON Lines want it; an element of a list may have stood on several."""
    return "".join(row.replace("\r", " ").replace("\n", " ") + "\n" for row in rows)


def _read(problem: Problem) -> str | None:
    return problem.get("read")


def as_csv(problems: list[Problem]) -> str:
    """Lines, codes, messages and rows as read; a cell that a spreadsheet would run as a formula is a text."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["line", "code", "message", "row as read"])
    for problem in problems:
        place = problem["line"] if problem.get("line") is not None else problem.get("row")
        writer.writerow([place, problem["code"], _cell(problem["message"]), _cell(_read(problem) or "")])
    return table.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _not_known() -> None:
    st.info("This file was read before that was looked at: upload it again.", icon=":material/history:")
