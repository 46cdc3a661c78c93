"""Remedies of a pre-flight: one press fills the form with the change and tests again, with before next to after."""

from typing import Any

import streamlit as st

from frontend.api import Client
from frontend.api.types import JobObject, Json
from frontend.app_pages.new_job import prefill
from frontend.components import check_verdict, rights

BEFORE = "report_before_remedy"
"""Session key of the report with which a remedy was offered."""
DUE = "remedy_test_due"
"""Session key: whether the form was filled by a remedy, and is to be tested as it is now."""
KEPT = "remedy_settings"
"""Session key of what a remedy set that has no field, with the dataset that it is about."""


def offer(client: Client, report: Json, *, dataset: str, ready: bool) -> None:
    """Show a button for each remedy of the report."""
    found = check_verdict.remedies(report["findings"])
    if not found:
        return
    st.markdown("**What may help.** A press changes the form and tests again.")
    with st.container(horizontal=True):
        for place, remedy in enumerate(found):
            rights.button(
                client,
                remedy["title"],
                type="primary" if place == 0 else "secondary",
                icon=":material/healing:",
                key=f"remedy_{remedy['code']}",
                disabled=not ready,
                on_click=_take,
                args=(remedy["changes"], report, dataset),
            )


def take_from(source: JobObject, code: str, *, dataset: str) -> None:
    """Fill the form with a remedy of a job's pre-flight; nothing if it does not offer it."""
    checked = source["x_checks"]["preflight"]
    offered = [] if checked is None else check_verdict.remedies(checked["findings"])
    changes = next((each["changes"] for each in offered if each["code"] == code), None)
    if changes is not None:
        settings = changes.get("method", {}).get("reinforcement", {}).get("x_rlsd", {})
        fill({"x_rlsd": settings} | ({"model": changes["model"]} if "model" in changes else {}), dataset=dataset)


def fill(changes: Json, *, dataset: str) -> None:
    """Fill fields of the form with changes of a pre-flight's request."""
    settings: Json = changes.get("x_rlsd", {})
    states: dict[str, Any] = prefill.widget_states(settings)
    if "practice" not in settings:
        del states["practise"]
    if "method" in settings:
        states["method"] = settings["method"]
    if "model" in changes:
        states["job_model"] = changes["model"]
    st.session_state.update(states)
    left = prefill.without_field(settings)
    if left:
        st.session_state[KEPT] = {"dataset": dataset, "settings": {**kept(dataset), **left}}


def kept(dataset: str) -> Json:
    """Return the settings without a field that remedies set for this dataset."""
    found: Json = st.session_state.get(KEPT, {})
    settings: Json = found.get("settings", {}) if found.get("dataset") == dataset else {}
    return settings


def _take(changes: Json, report: Json, dataset: str) -> None:
    fill(changes, dataset=dataset)
    st.session_state.update({BEFORE: report, DUE: True})
