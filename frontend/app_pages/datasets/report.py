"""The report of a file, as charts and tables: one part at a time."""

import csv
import io
from typing import Any

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileObject, FileProblem, FileReport
from frontend.app_pages.datasets import charts as report_charts
from frontend.app_pages.datasets import rows as dataset_rows
from frontend.app_pages.datasets import token_lengths
from frontend.words import units

LENGTHS, ANSWERS, LANGUAGES, REPEATED = "Lengths", "Answers", "Languages", "Duplicates"
OVERLAP, TOKENS, WARNINGS, BAD = "Overlap", "Tokens", "Warnings", "Bad rows"
UNKNOWN = "und"


def panel(client: Client, file: FileObject, report: FileReport) -> None:
    st.subheader("Report", anchor=False)
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
        st.caption("These rows can be used, but look suspicious.")
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
        st.info("There are no short answers to count.", icon=":material/short_text:")
        return
    report_charts.frequencies(answers["most"], name="answer", key="answers", alt_text="The most frequent short answers")
    lucky = answers["most"][0]["rows"] / answers["short"]
    st.caption(
        f"{units.count(answers['short'], 'short answer')}, {answers['distinct']:,} of them distinct. A model that "
        f"always gives the most frequent one would be right in {units.percent(lucky)} of them."
    )


def _languages(report: FileReport) -> None:
    languages = report.get("languages")
    if languages is None:
        _not_known()
        return
    table = [
        {"language": "unknown" if each["language"] == UNKNOWN else each["language"], "rows": each["rows"]}
        for each in languages["found"]
    ]
    report_charts.frequencies(table, name="language", key="languages", alt_text="Languages of the questions")
    st.caption(
        f"Languages of {units.count(languages['checked'], 'question')}, by ISO 639 code. The language of formulas and "
        "very short texts cannot be detected."
    )


def _repeated(report: FileReport) -> None:
    equal, near = report.get("duplicates"), report.get("near_duplicates")
    if equal is None or near is None:
        _not_known()
        return
    _chart(report["good"], equal=equal["rows"], near=near["rows"])
    exact, alike = st.columns(2)
    exact.metric("Duplicates of an earlier row", f"{equal['rows']:,}", border=True)
    alike.metric("Near-duplicate questions", f"{near['rows']:,}", border=True)
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
        _rows(table, key="equal_rows", alt="Duplicate rows")
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
        _rows(table, key="near_rows", alt="Near-duplicate questions")
    if near["checked"]:
        st.caption(f"Near-duplicates were searched in the first {units.count(near['checked'], 'question')}.")
    else:
        st.caption("Near-duplicates are searched only in longer questions made of words; there are none here.")


def _chart(rows: int, *, equal: int, near: int) -> None:
    table = [
        {"kind": "unique", "rows": max(0, rows - equal - near)},
        {"kind": "near-duplicate", "rows": near},
        {"kind": "duplicate", "rows": equal},
    ]
    report_charts.frequencies(
        table, name="kind", key="repeated", alt_text="Number of unique rows, near-duplicates and duplicates"
    )
    if equal + near:
        st.caption("Duplicates get more weight in training than other rows. You can leave them out under “Versions”.")


def _overlap(client: Client, file: FileObject) -> None:
    others = {each["id"]: each["filename"] for each in client.datasets() if each["id"] != file["id"]}
    if not others:
        st.info("There is no other dataset to compare with.", icon=":material/inbox:")
        return
    other = st.selectbox(
        "Compare with", list(others), index=None, format_func=others.__getitem__, key="overlap_with", width=420
    )
    if other is None:
        st.caption("Rows in both the training and the held-out data make a model look better than it is.")
        return
    found = client.file_report(file["id"], against=other)["overlap"] or {}
    rows, questions = st.columns(2)
    rows.metric("Rows in both datasets", f"{found['rows']:,}", border=True)
    questions.metric("Rows whose question is in both datasets", f"{found['questions']:,}", border=True)
    if found["pairs"]:
        table = [
            {
                "question": pair["question"],
                "row": pair["number"],
                "line": pair["line"],
                "their row": pair["their_number"],
                "their line": pair["their_line"],
                "whole row": pair["same_row"],
            }
            for pair in found["pairs"]
        ]
        _rows(table, key="shared_rows", alt="Shared questions")


def _rows(table: list[dict[str, Any]], *, key: str, alt: str) -> None:
    """Show rows of this dataset; a click opens one. Reports of earlier releases contain only line numbers."""
    numbers = [line["row"] for line in table]
    known = None not in numbers
    st.dataframe(
        table,
        hide_index=True,
        alt=alt,
        key=key,
        on_select=(lambda: dataset_rows.select(key, numbers)) if known else "ignore",
        selection_mode="single-row",
        column_order=None if known else [name for name in table[0] if table[0][name] not in (None, "")],
        column_config={
            "question": st.column_config.TextColumn(width="large"),
            "similarity": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1),
        },
    )
    opens = " Select a line to show the row under “Show row” below." if known else ""
    st.caption(f"Rows are counted from 0, lines of the file from 1.{opens}")


def _bad_rows(file: FileObject, report: FileReport) -> None:
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
            help="The rows as read, one per line: correct them in an editor and upload the file as a dataset.",
        )
    missing = len(problems) - len(kept)
    if missing:
        st.caption(
            f"{units.count(missing, 'row')} could not be stored: not text, too long, or read by an earlier release. "
            "Find them in the original file by line or row number."
        )


def _problems(problems: list[FileProblem], *, count: int, name: str) -> None:
    counted_in = "row" if any(problem.get("row") is not None for problem in problems) else "line"
    st.dataframe(
        list(problems),
        hide_index=True,
        alt="Lines and their problems",
        column_order=[counted_in, "message", "code", *(["read"] if any(map(_read, problems)) else [])],
        column_config={
            "read": st.column_config.TextColumn("the row", width="large"),
            counted_in: st.column_config.NumberColumn(width="small", format="%d"),
            "message": st.column_config.TextColumn("problem", width="large"),
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
    """Put each row on one line, as JSON Lines require; an element of a JSON list may span several."""
    return "".join(row.replace("\r", " ").replace("\n", " ") + "\n" for row in rows)


def _read(problem: FileProblem) -> str | None:
    return problem.get("read")


def as_csv(problems: list[FileProblem]) -> str:
    """Return lines, codes, messages and rows as CSV; cells that a spreadsheet would run as formulas are escaped."""
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
    st.info(
        "This file was read by an earlier release, which did not analyse this. Upload it again.",
        icon=":material/history:",
    )
