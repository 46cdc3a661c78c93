"""A trained model: facts from its manifest, held-out scores, and code to use it."""

import json

import streamlit as st

from frontend.api import Client, public_api_url
from frontend.api.types import JobObject, Json
from frontend.app_pages.models import use_code
from frontend.components.held_out_verdict import verdict
from frontend.words import units, verifiers
from frontend.words.job_settings import TARGETS


def card(client: Client, job: JobObject, manifest: Json) -> None:
    facts(job, manifest)
    with st.container(border=True):
        verdict(client.evaluations(job["id"]), job=job)
    with st.container(horizontal=True):
        job_of = {"job": job["id"]}
        st.page_link(
            "app_pages/job/page.py", label="How it was trained", icon=":material/show_chart:", query_params=job_of
        )
        data = {"dataset": job["training_file"]}
        st.page_link("app_pages/datasets/page.py", label="Its dataset", icon=":material/table_rows:", query_params=data)


def facts(job: JobObject, manifest: Json) -> None:
    """Show base model, data, verifier and settings of the adapter."""
    base, data, settings = manifest["base_model"], manifest["data"], manifest["settings"]
    validation = data["validation"]
    held_out = (
        f"{validation['filename']}, {units.count(validation['rows'], 'row')}"
        if validation
        else f"{units.percent(settings['held_out_share'])} of the dataset, not used for training"
    )
    values = {
        "Base model": base.get("hub_id") or base["name"],
        "Trained with": f"{settings['method'].upper()}, {units.count(manifest['steps'], 'step')}",
        "Dataset": f"{data['training']['filename']}, {units.count(data['training']['rows'], 'row')}",
        "Held-out questions": held_out,
        "Verifier": verifiers.of_job(job),
        "Adapter": f"LoRA, rank {settings['lora']['r']}, alpha {settings['lora']['alpha']:g}",
        "Trained tokens": f"{job['trained_tokens'] or 0:,}",
        "Seed": str(manifest["job"]["seed"]),
    }
    warm = settings.get("warm_start", {})
    if warm.get("rows"):
        values["Imitated first"] = f"the {TARGETS[warm['target']]}s of up to {units.count(warm['rows'], 'row')}"
    if settings.get("instruction"):
        values["Instruction"] = settings["instruction"]
    st.write(
        "An adapter is a small set of weights on top of a base model, which does not change. "
        "Use both together, or export a merged model under Downloads."
    )
    with st.grid(min_column_width=230):
        for label, value in values.items():
            with st.container(gap=None, border=True):
                st.caption(label)
                st.text(value)


def how_to_use(name: str, manifest: Json) -> None:
    st.caption("The first way needs only a key. For the other two, download the adapter under Downloads and unpack it.")
    if "hub_id" not in manifest["base_model"]:
        st.info(
            f"The base, {manifest['base_model']['name']}, is a folder on this server. Copy it, and replace `path/of/…` "
            "with its path.",
            icon=":material/folder:",
        )
    st.markdown("**From this server, with the official OpenAI client**")
    st.code(use_code.openai(name, api_url=public_api_url(), manifest=manifest), language="python", wrap_lines=True)
    st.markdown("**In Python, with transformers and PEFT**")
    st.code(use_code.peft(manifest), language="python", wrap_lines=True)
    st.markdown("**On your own server, with vLLM**")
    st.code(use_code.vllm(manifest), language="sh", wrap_lines=True)


def manifest_in_full(job: JobObject, manifest: Json) -> None:
    st.write(
        "Everything the adapter was trained from, with the SHA-256 of data, verifier, base model and code: enough to "
        "reproduce it and to prove its origin. The adapter's ZIP contains the same file."
    )
    text = json.dumps(manifest, indent=2, sort_keys=True)
    st.download_button(
        "Download the manifest",
        data=text,
        file_name=f"{job['user_provided_suffix'] or job['id']}-manifest.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        key="download_manifest",
    )
    st.json(manifest, expanded=1)
