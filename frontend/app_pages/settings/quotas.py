"""A project's usage against its limits, and the fields that set the limits."""

import streamlit as st

from frontend.api.types import Quotas, Usage
from frontend.words.settings import GB, quota_uses

NONE = "no limit"


def against_limits(usage: Usage, quotas: Quotas) -> None:
    """Show three figures, with a bar if there is a limit."""
    for column, figure in zip(st.columns(3), quota_uses(usage, quotas), strict=True):
        with column.container(gap="xsmall"):
            st.caption(figure.title)
            st.markdown(f"**{figure.text}**")
            if figure.share is not None:
                st.progress(min(figure.share, 1.0))
            if figure.full:
                st.badge("Limit reached", icon=":material/block:", color="red")


def fields(quotas: Quotas, *, key: str) -> Quotas:
    """Show the fields of the limits; an empty field means no limit."""
    storage = quotas.get("storage_bytes")
    storage_gb = st.number_input(
        "Storage, GB",
        min_value=0.0,
        max_value=1e9,
        value=None if storage is None else storage / GB,
        step=1.0,
        placeholder=NONE,
        key=f"{key}_storage",
        help="For uploaded files, trained adapters and exports. Leave empty for no limit.",
    )
    jobs = st.number_input(
        "Concurrent jobs",
        min_value=0,
        max_value=10**6,
        value=quotas.get("jobs_at_once"),
        step=1,
        placeholder=NONE,
        key=f"{key}_jobs",
        help="Waiting or running jobs. At the limit, new jobs are refused until one has ended. Leave empty for no "
        "limit.",
    )
    hours = st.number_input(
        "Device hours",
        min_value=0.0,
        max_value=1e9,
        value=quotas.get("gpu_hours"),
        step=1.0,
        placeholder=NONE,
        key=f"{key}_hours",
        help="Hours of all jobs so far, multiplied by the GPUs of each; without a GPU, hours of CPU time. At the "
        "limit, new jobs are refused. Leave empty for no limit.",
    )
    return {
        "storage_bytes": None if storage_gb is None else round(storage_gb * GB),
        "jobs_at_once": jobs,
        "gpu_hours": hours,
    }
