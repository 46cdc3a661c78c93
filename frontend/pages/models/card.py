"""What a trained model is, from its manifest: in words, as held-out figures, as code to use it."""

import json

import streamlit as st

from frontend.api import Client, public_api_url
from frontend.api.types import Job, Json
from frontend.components.held_out_verdict import verdict
from frontend.pages.models import use_code
from frontend.words import units, verifiers


def card(client: Client, job: Job, manifest: Json) -> None:
    facts(job, manifest)
    with st.container(border=True):
        verdict(client.evaluations(job["id"]), job=job)
    with st.container(horizontal=True):
        job_of = {"job": job["id"]}
        st.page_link("pages/job/page.py", label="How it was trained", icon=":material/show_chart:", query_params=job_of)
        data = {"dataset": job["training_file"]}
        st.page_link("pages/datasets/page.py", label="Its dataset", icon=":material/table_rows:", query_params=data)


def facts(job: Job, manifest: Json) -> None:
    """What it was made of."""
    base, data, settings = manifest["base_model"], manifest["data"], manifest["settings"]
    validation = data["validation"]
    held_out = (
        f"{validation['filename']}, {units.count(validation['rows'], 'row')}"
        if validation
        else f"{units.percent(settings['held_out_share'])} of the dataset, not trained on"
    )
    said = {
        "Base model": base.get("hub_id") or base["name"],
        "Trained with": f"{settings['method'].upper()}, {units.count(manifest['steps'], 'step')}",
        "Dataset": f"{data['training']['filename']}, {units.count(data['training']['rows'], 'row')}",
        "Held-out questions": held_out,
        "Verifier": verifiers.of_job(job),
        "Adapter": f"LoRA, rank {settings['lora']['r']}, alpha {settings['lora']['alpha']:g}",
        "Tokens that updates were made from": f"{job['trained_tokens'] or 0:,}",
        "Seed": str(manifest["job"]["seed"]),
    }
    st.write(
        "An adapter: a small set of weights that is laid over its base model, which stays as it is. "
        "Use both together, or take a merged model under Downloads."
    )
    with st.grid(min_column_width=230):
        for label, value in said.items():
            with st.container(gap=None, border=True):
                st.caption(label)
                st.text(value)


def how_to_use(name: str, manifest: Json) -> None:
    st.caption("The first needs nothing but a key; for the other two take the adapter under Downloads and unpack it.")
    if "hub_id" not in manifest["base_model"]:
        st.info(
            f"The base, {manifest['base_model']['name']}, is a folder of this server: take it along and write its path "
            "where `path/of/…` stands.",
            icon=":material/folder:",
        )
    st.markdown("**Over this server, with the official OpenAI client**")
    st.code(use_code.openai(name, api_url=public_api_url()), language="python", wrap_lines=True)
    st.markdown("**In Python, with transformers and PEFT**")
    st.code(use_code.peft(manifest), language="python", wrap_lines=True)
    st.markdown("**As a server of your own, with vLLM**")
    st.code(use_code.vllm(manifest), language="sh", wrap_lines=True)


def manifest_in_full(job: Job, manifest: Json) -> None:
    st.write(
        "Everything the adapter was made of, with the SHA-256 of data, verifier, base and code: enough to make it "
        "again, and to show where it comes from. The same file lies in the adapter's ZIP."
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
