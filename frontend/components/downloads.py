"""Downloads of a job: the adapter, or a model exported from it, with the comparison of both."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import EquivalenceObject, ExportObject, JobObject
from frontend.components import check_progress, rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import problems
from frontend.words import units
from frontend.words.job_states import ENDED

LARGEST = 1_000_000_000
"""Largest ZIP in bytes that this page sends; larger ones need the command line."""
FORMATS = {
    "merged": ("Merged model", "Base model and adapter merged into one model, for transformers and vLLM."),
    "gguf": ("GGUF", "The merged model as a single file, for llama.cpp and Ollama."),
}
DTYPES = {
    None: "Smallest that agrees",
    "float32": "float32 (4 bytes a weight)",
    "float16": "float16 (2 bytes)",
    "bfloat16": "bfloat16 (2 bytes)",
    "q8_0": "q8_0 (about 1 byte)",
}
"""Choices of how weights are stored."""
ONLY_GGUF = "q8_0"
FINAL = "final"
PART, OF = "Downloads", "export_of"
"""The tab of the job page, and the session key of the checkpoint whose downloads it shows."""
SEEN = "exports_seen"
"""Session key of the exports that the page has just read, for the fragment that polls them."""


def panel(feed: JobFeed, client: Client) -> None:
    job = feed.job
    if job["status"] not in ENDED:
        st.info(
            "Downloads are available once the job has ended. Its checkpoints can be tried in the playground before.",
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
    if not _in_progress(found, checkpoint):
        _exports(job, client, found, checkpoint=checkpoint)
        return
    st.session_state[SEEN] = found

    def refresh() -> bool:
        """Draw the exports; the first call uses those just read, the last leaves the result to the page."""
        found: list[ExportObject] = st.session_state.pop(SEEN, None) or client.exports(job["id"])
        if in_progress := _in_progress(found, checkpoint):
            _exports(job, client, found, checkpoint=checkpoint)
        return in_progress

    check_progress.poll(refresh)


def _in_progress(found: Sequence[ExportObject], checkpoint: str | None) -> bool:
    """Report whether an export of this checkpoint is queued or running."""
    return any(export["checkpoint"] == checkpoint and export["status"] in ("queued", "running") for export in found)


def _exports(job: JobObject, client: Client, found: Sequence[ExportObject], *, checkpoint: str | None) -> None:
    for format, (title, use) in FORMATS.items():
        exports = [one for one in found if (one["checkpoint"], one["format"]) == (checkpoint, format)]
        with st.container(border=True, key=f"export_{format}"):
            st.markdown(f"**{title}**")
            st.caption(use)
            for export in exports:
                _export(job, client, export)
            _order(job, client, format=format, checkpoint=checkpoint, made={export["dtype"] for export in exports})


def _chosen(job: JobObject, client: Client) -> str | None:
    """Let the user choose a checkpoint; None: the final adapter."""
    steps = {checkpoint["id"]: checkpoint for checkpoint in client.checkpoints(job["id"])}
    choices = ([FINAL] if job["status"] == "succeeded" else []) + list(steps)
    if not steps:
        return None

    def label(key: str) -> str:
        if key == FINAL:
            return "Final adapter"
        score = steps[key]["metrics"].get("x_score")
        held_out = "" if score is None else f", held-out score {score:.2f}"
        return f"Checkpoint of step {steps[key]['step_number']:,}{held_out}"

    chosen = st.selectbox("Version", choices, format_func=label, key=OF)
    return None if chosen == FINAL else chosen


def _adapter(job: JobObject, client: Client) -> None:
    with st.container(border=True):
        st.markdown("**Adapter**")
        st.caption(
            "Only the LoRA weights, exactly as trained, for transformers with PEFT or for vLLM. Needs the base model."
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


def _order(job: JobObject, client: Client, *, format: str, checkpoint: str | None, made: set[str | None]) -> None:
    """Let the user export in a dtype that has not been requested yet."""
    left = [dtype for dtype in DTYPES if dtype not in made and (dtype != ONLY_GGUF or format == "gguf")]
    if not left:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dtype = st.selectbox(
            "Weights stored as",
            left,
            format_func=lambda dtype: DTYPES[dtype],
            key=f"dtype_{format}",
            help="Rounding to few bits can lose what was learned, so the result is compared with the adapter first. "
            "“Smallest that agrees” tries one after the other.",
        )
        if rights.button(client, "Export", icon=":material/build:", key=f"make_{format}"):
            _do(lambda: client.create_export(job["id"], format=format, dtype=dtype, checkpoint=checkpoint))


def _export(job: JobObject, client: Client, export: ExportObject) -> None:
    if export["dtype"] is not None:
        st.caption(f"Requested as {DTYPES[export['dtype']]}")
    if export["status"] in ("queued", "running"):
        if export["progress"] is None:
            st.caption(":material/hourglass_empty: Waiting for a worker…")
        else:
            check_progress.check_bar(export["progress"])
    elif export["status"] == "failed":
        message = export["error"]["message"] if export["error"] else "The export failed."
        st.error(message, icon=":material/error:", title="Export failed")
        _figures(export["comparison"])
        if rights.button(client, "Try again", icon=":material/refresh:", key=f"again_{_key(export)}"):
            _do(lambda: _again(client, export))
    else:
        assert export["comparison"] is not None
        st.success(export["comparison"]["summary"], icon=":material/check_circle:", title="Ready")
        _figures(export["comparison"])
        _download(job, client, export)


def _figures(compared: EquivalenceObject | None) -> None:
    """Show the comparison with the adapter; nothing if there was none."""
    if compared is None:
        return
    allowed = compared["tolerance"]
    tried = [
        (f"Mean difference as {other['dtype']}, {'which agrees' if other['agrees'] else 'refused'}",
         other["mean_difference"], "")
        for other in compared["tried"]
        if other["dtype"] != compared["dtype"]
    ]  # fmt: skip
    table = [
        ("Mean difference of log-probabilities", compared["mean_difference"], f"at most {allowed['mean']:g}"),
        ("Largest difference", compared["max_difference"], f"at most {allowed['max']:g}"),
        ("Equal most likely tokens", compared["greedy_equal"], f"at least {allowed['greedy']:g}"),
        (
            "Mean difference between adapter and base",
            compared["effect"],
            f"{allowed['lost']:.0%} may be lost",
        ),
        *tried,
    ]
    with st.expander(f"Compared on {compared['tokens']:,} tokens of {compared['prompts']} prompts"):
        st.dataframe(
            [
                {"figure": name, "measured": "none" if value is None else f"{value:.3g}", "allowed": limit}
                for name, value, limit in table
            ],
            hide_index=True,
            alt="Differences between export and adapter, measured and allowed",
        )


def _download(job: JobObject, client: Client, export: ExportObject) -> None:
    size, name = export["size_bytes"] or 0, job["user_provided_suffix"] or job["id"]
    st.caption(f"{units.size(size)}, SHA-256 `{export['sha256']}`")
    if size > LARGEST:
        of = "".join(f" --{name} {export[name]}" for name in ("dtype", "checkpoint") if export[name] is not None)
        st.caption("Too large to download here. Use the command line:")
        st.code(f"rlsd export {job['id']} --format {export['format']}{of}", language="sh")
        return
    st.download_button(
        f"Download ({units.size(size)})",
        data=lambda: client.export_content(export),
        file_name=f"{name}-{_key(export).replace('_', '-')}.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        key=f"download_{_key(export)}",
    )


def _key(export: ExportObject) -> str:
    return "_".join(filter(None, (export["format"], export["dtype"])))


def _again(client: Client, export: ExportObject) -> None:
    client.delete_export(export)
    client.create_export(
        export["job_id"], format=export["format"], dtype=export["dtype"], checkpoint=export["checkpoint"]
    )


def _do(call: Any) -> None:
    try:
        call()
    except ApiError as error:
        problems.show(error, title="The export was not started")
        return
    st.rerun()
