"""What a job will take, before it is started: time, tokens and price, each with how far it may be off."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.api.types_runs import Estimate, Range
from frontend.words import units
from frontend.words.job_settings import label_of

KEPT = "estimate_kept"
FRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class CachedEstimate:
    asked: str
    read_at: float
    found: Estimate | ApiError


def ask(client: Client, body: Json, *, flown: str | None) -> Estimate | ApiError:
    """The estimate of a job of this body, or why it could not be one; asked again only where something changed, as when
    the pre-flight with the id `flown` has measured a step.
    """
    asked = json.dumps([body, flown], sort_keys=True)
    kept: CachedEstimate | None = st.session_state.get(KEPT)
    if kept is None or kept.asked != asked or time.monotonic() - kept.read_at > FRESH_S:
        try:
            kept = CachedEstimate(asked, time.monotonic(), client.estimate(body))
        except ApiError as error:
            if error.signed_out or error.status == 0:
                raise
            kept = CachedEstimate(asked, time.monotonic(), error)
        st.session_state[KEPT] = kept
    return kept.found


def refusal(error: ApiError) -> tuple[str, str]:
    """(title, sentence) of a job that would not be taken."""
    if error.status == 403:
        return "You may look, but not start", error.message
    setting = label_of(error.param)
    message = error.message if setting is None else error.message.replace(f"{error.param}:", f"“{setting}”:")
    return "Before this job can start", message


def show(found: Estimate, *, runs: int) -> None:
    """`runs`: how many jobs like it there will be, one after the other."""
    for notice in found["notices"]:
        st.info(notice, icon=":material/info:")
    each = found["total_s"]
    if each is None:
        st.caption(
            ":material/timer: How long it takes is not known yet: no job of this model has run here on such a device "
            "with such settings. The pre-flight or a quick look tells."
        )
        return
    many = "" if runs == 1 else f" for {runs} jobs one after the other"
    spread = _spread(each, lambda seconds: units.duration(seconds * runs))
    told = f":material/timer: About **{units.duration(each['median'] * runs)}**{many}{spread}"
    if found["total_tokens"] is not None:
        told += f", {_tokens(found['total_tokens']['median'] * runs)} written"
    if found["cost"] is not None and found["currency"] is not None:
        cost = found["cost"]
        told += f", about **{cost['median'] * runs:,.2f} {found['currency']}**"
        told += f" ({cost['low'] * runs:,.2f} to {cost['high'] * runs:,.2f})"
    memory = found["peak_memory_bytes"]
    if memory is not None:
        told += f". At its peak training fills **{units.size(memory['median'])}**{_spread(memory, units.size)}"
        told += " of a device's memory"
    st.markdown(f"{told}.")
    st.caption(f"{_source(found)} Measuring on held-out questions is counted, a queue before it is not.")


def _source(found: Estimate) -> str:
    steps, device = units.count(found["steps"], "step"), found["device_name"]
    if found["preflight"] is not None:
        return f"From {steps} that the pre-flight tried on {device}; the range is theirs."
    data = "this dataset" if found["same_file"] else "other data, where answers may be shorter or longer"
    look = "" if found["same_file"] else " The pre-flight measures yours."
    return (
        f"From {steps}, the last ones of {units.count(found['jobs'], 'earlier job')} with this model on {data}, on "
        f"{device}; eight in ten of them lie within the range.{look}"
    )


def _spread(each: Range, said: Callable[[float], str]) -> str:
    """In brackets behind the middle; nothing where the range, as it is said, is that alone."""
    low, high = said(each["low"]), said(each["high"])
    return "" if low == high else f" ({low} to {high})"


def _tokens(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.1f} million tokens"
    return f"{round(number, -3) if number >= 10_000 else round(number, -2):,.0f} tokens"
