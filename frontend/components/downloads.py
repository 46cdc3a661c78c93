"""What a job has trained, to take home: the adapter, or a model made of it, each said with what was compared."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Export, Job
from frontend.components import check_progress, rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import problems
from frontend.words import units
from frontend.words.job_states import ENDED

LARGEST = 1_000_000_000
"""Bytes of a ZIP that is sent through this page; larger ones are for the command line."""
FORMATS = {
    "merged": ("Merged model", "Base and adapter as one model, for transformers and vLLM."),
    "gguf": ("GGUF", "The same as one file, for llama.cpp and Ollama."),
}
FINAL = "final"
PART, OF = "Downloads", "export_of"
"""The part of the job's page, and what it shows the downloads of."""
SEEN = "exports_seen"
"""Those that the page has just read, on their way to the part of it that looks again."""


def panel(feed: JobFeed, client: Client) -> None:
    job = feed.job
    if job["status"] not in ENDED:
        st.info(
            "What was trained can be taken home once the job has ended. Its checkpoints can be asked already.",
            icon=":material/hourglass_empty:",
        )
        return
    checkpoint = _chosen(job, client)
    if checkpoint is None and job["status"] != "succeeded":
        st.info("This job ended without an adapter, and has no checkpoints.", icon=":material/info:")
        return
    if checkpoint is None:
        _adapter(job, client)
    found = client.exports(job["id"])
    if not _being_made(found, checkpoint):
        _exports(job, client, found, checkpoint=checkpoint)
        return
    st.session_state[SEEN] = found

    def look() -> bool:
        """The first draws what was seen on the way here; the last leaves the result to the whole page."""
        found: list[Export] = st.session_state.pop(SEEN, None) or client.exports(job["id"])
        if goes_on := _being_made(found, checkpoint):
            _exports(job, client, found, checkpoint=checkpoint)
        return goes_on

    check_progress.poll(look)


def _being_made(found: Sequence[Export], checkpoint: str | None) -> bool:
    """Whether a worker is at one of this checkpoint."""
    return any(export["checkpoint"] == checkpoint and export["status"] in ("queued", "running") for export in found)


def _exports(job: Job, client: Client, found: Sequence[Export], *, checkpoint: str | None) -> None:
    for format in FORMATS:
        export = next((one for one in found if (one["checkpoint"], one["format"]) == (checkpoint, format)), None)
        with st.container(border=True, key=f"export_{format}"):
            _export(job, client, format=format, checkpoint=checkpoint, export=export)


def _chosen(job: Job, client: Client) -> str | None:
    """The checkpoint to take; None for the adapter that the job ended with."""
    steps = {checkpoint["id"]: checkpoint for checkpoint in client.checkpoints(job["id"])}
    choices = ([FINAL] if job["status"] == "succeeded" else []) + list(steps)
    if not steps:
        return None

    def said(key: str) -> str:
        if key == FINAL:
            return "The end of training"
        score = steps[key]["metrics"].get("x_score")
        held_out = "" if score is None else f", held-out {score:.2f}"
        return f"Checkpoint of step {steps[key]['step_number']:,}{held_out}"

    chosen = st.selectbox("Of", choices, format_func=said, key=OF)
    return None if chosen == FINAL else chosen


def _adapter(job: Job, client: Client) -> None:
    with st.container(border=True):
        st.markdown("**Adapter**")
        st.caption(
            "The LoRA weights alone, for transformers with PEFT and for vLLM beside its base. As it was trained."
        )
        st.download_button(
            "Download",
            data=lambda: client.adapter(job["id"]),
            file_name=f"{job['user_provided_suffix'] or job['id']}-adapter.zip",
            mime="application/zip",
            icon=":material/download:",
            on_click="ignore",
            key="download_adapter",
        )


def _export(job: Job, client: Client, *, format: str, checkpoint: str | None, export: Export | None) -> None:
    title, use = FORMATS[format]
    st.markdown(f"**{title}**")
    st.caption(use)
    if export is None:
        if rights.button(client, "Make it", icon=":material/build:", key=f"make_{format}"):
            _do(lambda: client.create_export(job["id"], format=format, checkpoint=checkpoint))
    elif export["status"] in ("queued", "running"):
        progress = export["progress"]
        if progress is None:
            st.caption(":material/hourglass_empty: Waiting for a worker.")
        else:
            st.progress(progress["done"] / progress["total"], text=progress["unit"])
    elif export["status"] == "failed":
        st.error((export["error"] or {}).get("message", "It failed."), icon=":material/error:", title="Not offered")
        _figures(export["comparison"])
        if rights.button(client, "Try again", icon=":material/refresh:", key=f"again_{format}"):
            _do(lambda: _again(client, export))
    else:
        st.success((export["comparison"] or {})["summary"], icon=":material/check_circle:", title="Ready")
        _figures(export["comparison"])
        _download(job, client, export)


def _figures(compared: dict[str, Any] | None) -> None:
    """The comparison in figures; None where it did not come to that."""
    if compared is None:
        return
    allowed = compared["tolerance"]
    table = [
        ("Mean difference of log-probabilities", compared["mean_difference"], f"at most {allowed['mean']:g}"),
        ("Largest difference", compared["max_difference"], f"at most {allowed['max']:g}"),
        ("Most likely tokens that are the same", compared["greedy_equal"], f"at least {allowed['greedy']:g}"),
        ("For scale: adapter and base differ by", compared["effect"], ""),
    ]
    with st.expander(f"Compared on {compared['tokens']:,} tokens of {compared['prompts']} prompts"):
        st.dataframe(
            [
                {"figure": name, "found": "no number" if value is None else f"{value:.3g}", "allowed": limit}
                for name, value, limit in table
            ],
            hide_index=True,
            alt="What was compared, what was found and what is allowed",
        )


def _download(job: Job, client: Client, export: Export) -> None:
    size, name = export["size_bytes"] or 0, job["user_provided_suffix"] or job["id"]
    st.caption(f"{units.size(size)}, SHA-256 `{export['sha256']}`")
    if size > LARGEST:
        of = "" if export["checkpoint"] is None else f" --checkpoint {export['checkpoint']}"
        st.caption("Too large for this page; the command line streams it:")
        st.code(f"rlsd export {job['id']} --format {export['format']}{of}", language="sh")
        return
    st.download_button(
        f"Download ({units.size(size)})",
        data=lambda: client.export_content(export),
        file_name=f"{name}-{export['format']}.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        key=f"download_{export['format']}",
    )


def _again(client: Client, export: Export) -> None:
    client.delete_export(export)
    client.create_export(export["job_id"], format=export["format"], checkpoint=export["checkpoint"])


def _do(ask: Any) -> None:
    try:
        ask()
    except ApiError as error:
        problems.show(error, title="Not exported")
        return
    st.rerun()
