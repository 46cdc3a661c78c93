"""The estimate of a job before it is started: time, tokens and price, each with its range."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import EstimateObject, Json, RangeObject
from frontend.words import units
from frontend.words.job_settings import label_of

KEPT = "estimate_kept"
FRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class CachedEstimate:
    request: str
    read_at: float
    found: EstimateObject | ApiError


def request(client: Client, body: Json, *, preflight_id: str | None) -> EstimateObject | ApiError:
    """Return the estimate of a job, or the error that would refuse it. Requested again only if the body changed, or if
    the pre-flight `preflight_id` has measured a step since.
    """
    key = json.dumps([body, preflight_id], sort_keys=True)
    kept: CachedEstimate | None = st.session_state.get(KEPT)
    if kept is None or kept.request != key or time.monotonic() - kept.read_at > FRESH_S:
        try:
            kept = CachedEstimate(key, time.monotonic(), client.estimate(body))
        except ApiError as error:
            if error.signed_out or error.status == 0:
                raise
            kept = CachedEstimate(key, time.monotonic(), error)
        st.session_state[KEPT] = kept
    return kept.found


def refusal(error: ApiError) -> tuple[str, str]:
    """Return (title, sentence) for a job that would be refused."""
    if error.status == 403:
        return "You cannot start jobs", error.message
    setting = label_of(error.param)
    message = error.message if setting is None else error.message.replace(f"{error.param}:", f"“{setting}”:")
    return "This job cannot start yet", message


def show(found: EstimateObject, *, runs: int) -> None:
    """Show the estimate. `runs`: how many such jobs will run, one after the other."""
    for notice in found["notices"]:
        st.info(notice, icon=":material/info:")
    each = found["total_s"]
    if each is None:
        st.caption(
            ":material/timer: No estimate yet: no job with this model and similar settings has run on such a device. "
            "Run the pre-flight or a Quick look job to get one."
        )
        return
    many = "" if runs == 1 else f" for {runs} jobs one after the other"
    low, median, high = (units.duration(each[name] * runs) for name in ("low", "median", "high"))
    if found["same_file"] or found["preflight"] is not None:
        text = f":material/timer: About **{median}**{many}" + ("" if low == high else f" ({low} to {high})")
    else:  # answers to other questions may have any length
        text = f":material/timer: **{low} to {high}**{many}"
    if found["total_tokens"] is not None:
        text += f", {_tokens(found['total_tokens']['median'] * runs)} generated"
    if found["cost"] is not None and found["currency"] is not None:
        cost = found["cost"]
        text += f", about **{cost['median'] * runs:,.2f} {found['currency']}**"
        text += f" ({cost['low'] * runs:,.2f} to {cost['high'] * runs:,.2f})"
    memory = found["peak_memory_bytes"]
    if memory is not None:
        text += f". Peak memory: **{units.size(memory['median'])}**{_spread(memory, units.size)} per device"
    st.markdown(f"{text}.")
    st.caption(f"{_source(found)} Includes evaluation on held-out questions, but not time in the queue.")


def _source(found: EstimateObject) -> str:
    steps, device = units.count(found["steps"], "step"), found["device_name"]
    if found["preflight"] is not None:
        return f"From {steps} of the pre-flight on {device}, with their range."
    earlier = f"From the last {steps} of {units.count(found['jobs'], 'earlier job')} with this model on"
    if found["same_file"]:
        return f"{earlier} this dataset, on {device}; 80 % of them are within the range."
    return (
        f"{earlier} other data, on {device}: your answers may be longer, at most to the end of the range. The "
        "pre-flight measures them."
    )


def _spread(each: RangeObject, in_words: Callable[[float], str]) -> str:
    """Format a range in brackets; empty if both ends read the same."""
    low, high = in_words(each["low"]), in_words(each["high"])
    return "" if low == high else f" ({low} to {high})"


def _tokens(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.1f} million tokens"
    return f"{round(number, -3) if number >= 10_000 else round(number, -2):,.0f} tokens"
