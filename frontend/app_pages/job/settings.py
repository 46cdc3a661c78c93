"""The settings a job was created with: their values in words, which were chosen, and the reason for each default."""

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.components.job_feed import JobFeed
from frontend.words import job_settings, verifiers
from frontend.words.job_settings import ASKING, MAIN, NESTED, SCHEMAS, SECTIONS, Setting, facts_of, inlined, presets
from frontend.words.markdown import plain

KEPT = "job_settings_schemas"
TITLES = {"warm_start": "Warm start", "practice": "Practice", "lora": "Adapter (LoRA)"}


def panel(feed: JobFeed, client: Client) -> None:
    job = feed.job
    schemas = _schemas(feed, client)
    schema = schemas["RlsdSettings"]
    reinforcement: Json = job["method"]["reinforcement"]
    settings: Json = reinforcement["x_rlsd"]
    chosen: Json = reinforcement["x_asked"]
    facts = job_settings.methods(schema)[settings["method"]]
    st.caption(
        "The settings this job was created with. Those in bold were chosen; the others come from the method and "
        "defaults."
    )
    with st.container(horizontal=True):
        dataset = {"dataset": job["training_file"]}
        st.page_link("app_pages/datasets/page.py", label="Dataset", icon=":material/table_rows:", query_params=dataset)
        verifier = reinforcement.get("x_verifier")
        if verifier is not None:
            link = {"verifier": str(verifier["id"])}
            st.page_link(
                "app_pages/verifiers/page.py", label="Verifier", icon=":material/fact_check:", query_params=link
            )
    st.markdown(f"**{facts['title']}**: {facts['summary']}")
    preset = f", preset {presets(schema)[chosen['preset']]['title']}" if "preset" in chosen else ""
    verifier_name = verifiers.of_job(job)
    made_of = f"Base model {plain(job['model'])}{preset}; verifier: {plain(verifier_name)}"
    st.caption(f"{made_of}; seed {job['seed']}; job {job['id']}.")
    for title, section in (("Instruction", ASKING), ("Training", MAIN), *SECTIONS.items()):
        shown = [
            setting
            for setting in job_settings.settings_for(section, method=facts, schema=schema)
            if setting.is_shown(settings)
        ]
        _table(title, shown, settings, chosen=chosen, schema=schema)
    for name, section in NESTED.items():
        inner: Json = settings.get(name) or {}  # practice is None if it is off; earlier releases had no warm start
        shown = [setting for setting in section if setting.is_shown(inner)]
        _table(TITLES[name], shown, inner, chosen=chosen.get(name) or {}, schema=schemas[SCHEMAS[name]])
    with st.expander("All settings as JSON", icon=":material/data_object:", key="job_json"):
        st.code(json.dumps(job["method"], indent=2), language="json")


def _schemas(feed: JobFeed, client: Client) -> dict[str, Json]:
    """Return the API's schemas of the settings, read once."""
    kept: dict[str, Json] | None = st.session_state.get(KEPT)
    if kept is None:
        schemas = client.settings_schemas()
        kept = {name: inlined(schemas, name) for name in ("RlsdSettings", *SCHEMAS.values())}
        st.session_state[KEPT] = kept
        feed.ticks_to_skip += 0 if feed.ended else 1
    return kept


def _table(title: str, settings: Sequence[Setting], values: Json, *, chosen: Json, schema: Json) -> None:
    lines = [
        {
            "setting": f"**{setting.label}**" if setting.name in chosen else setting.label,
            "value": in_words(setting, values[setting.name], schema=schema),
            "reason for the default": setting.why or "",
        }
        for setting in settings
        if setting.name in values
    ]
    if lines:
        st.markdown(f"**{title}**")
        st.table(lines, hide_index=True, border="horizontal", alt=f"Settings: {title}")


def quantity(setting: Setting, value: float) -> str:
    """Write a number with its unit, or the word that 0 stands for."""
    if value == 0 and setting.zero:
        return setting.zero
    number = f"{value:,}" if setting.kind == "whole" else f"{value:g}"
    return f"{number} {setting.unit.removesuffix('s') if value == 1 else setting.unit}".strip()


def in_words(setting: Setting, value: Any, *, schema: Json) -> str:
    if value is None or value == "":
        return "none"
    if setting.kind == "yes_no":
        return "yes" if value else "no"
    if setting.kind == "pair":
        return " and ".join(f"{number:g}" for number in value)
    if setting.kind in ("whole", "number"):
        return quantity(setting, value)
    return facts_of(schema, setting.name).titles.get(str(value), str(value))
