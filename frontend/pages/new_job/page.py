"""New job: three choices, how thorough, and everything else folded. `?from=ftjob-…` fills the form from a job."""

import json
import time
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileReport, Job, Json, Method
from frontend.components import choices, estimate, rights
from frontend.components.job_table import title_of
from frontend.pages.new_job import method as job_method
from frontend.pages.new_job import prefill, preflight
from frontend.session import drafts, state
from frontend.widgets import problems
from frontend.words import units
from frontend.words.job_settings import NEEDED, hint_in_rows, inlined, methods, request_body, rows_without
from frontend.words.training_plans import comparison_body

MADE = "job_just_made"
SAME_WISH_S = 10.0
FILLED = "job_form_filled_from"
WRITTEN = f"new_job?{'&'.join(f'{name}={value}' for name, value in st.query_params.items())}"
"""What is written here, by the address that the form began with."""

client, zone = state.client(), state.zone()


@st.cache_data(ttl=600, show_spinner=False)
def settings_schemas(_client: Client) -> dict[str, Json]:
    """The API's description of a job's settings and of the adapter's, each whole in itself."""
    schemas = _client.settings_schemas()
    return {name: inlined(schemas, name) for name in ("RlsdSettings", "Lora")}


def missing_first(*, files: bool, verifiers: bool) -> bool:
    """Say what has to be there before a job can be made."""
    if files and verifiers:
        return False
    st.info("A job needs a dataset and a verifier.", icon=":material/info:")
    if not files:
        st.page_link("pages/datasets/page.py", label="Upload a dataset", icon=":material/upload:")
    if not verifiers:
        link = {"verifier": "new"}
        st.page_link("pages/verifiers/page.py", label="Write a verifier", icon=":material/edit:", query_params=link)
    return True


def fill_from(source: Job, schema: Json, *, files: set[str], verifiers: set[str]) -> Json:
    """Fill the form once from a job. Returns what it said that has no field."""
    defaults = {name: about.get("default") for name, about in schema["properties"].items()}
    asked = prefill.asked_of(source, defaults=defaults)
    filled = st.session_state.get(FILLED) == source["id"] and "job_dataset" in st.session_state
    if not filled:
        dataset = state.address("dataset") or source["training_file"]
        verifier = choices.verifier_of(source)
        said: dict[str, Any] = prefill.widget_states(asked) | {
            "plan": "as_before",
            "method": asked.get("method", "rlsd"),
            "preset": asked.get("preset", "paper"),
            job_method.PRESET_OF: dataset,
            "job_model": source["model"],
            "job_verifier": verifier if verifier in verifiers else choices.OF_JOB,
            "job_seed": source["seed"],
            "job_name": prefill.next_name(source["user_provided_suffix"]),
        }
        said |= {"job_dataset": dataset} if dataset in files else {}
        validation = source["validation_file"]
        said |= {"job_validation": validation} if validation in files and validation != dataset else {}
        st.session_state.update(said)
        st.session_state[FILLED] = source["id"]
    return prefill.not_offered(asked)


def blockers(report: FileReport, model: str | None, *, hint: str | None, said: Json, method: Method) -> list[str]:
    """What would make the API refuse the job. `hint`: what every row must have."""
    found = [] if model else ["Choose a base model."]
    if method["teacher"] == "external" and not said.get("teacher_model"):
        found.append("Name the larger model to imitate, under “More settings”.")
    without = rows_without(hint, report, said=said)
    if hint is not None and without:
        found.append(
            f"{without:,} of {units.count(report['good'], 'row')} have {NEEDED[hint][1]}, and the teacher is to "
            "be shown it: choose another hint, another preset, a method without a hint, or another dataset."
        )
    return found


def form(source: Job | None) -> None:
    files, verifiers = client.datasets(), client.all_verifiers()
    if missing_first(files=bool(files), verifiers=bool(verifiers) or source is not None):
        return
    drafts.bring_back(WRITTEN)
    schemas = settings_schemas(client)
    schema = schemas["RlsdSettings"]
    left: Json = {}
    if source is not None:
        ids = {file["id"] for file in files}, {verifier["id"] for verifier in verifiers}
        left = fill_from(source, schema, files=ids[0], verifiers=ids[1])
        st.caption(f"Filled with the settings of **{title_of(source)}**; change what you like.")
    models = [model["id"] for model in client.models() if model["owned_by"] == "base"]
    chosen = choices.show(files, verifiers, models, source=source, zone=zone)
    dataset = chosen.dataset
    report = client.file_report(dataset["id"])
    job_method.preset_by_data(dataset["id"], report)
    plan_name, plan = job_method.plan(cloning=source is not None)
    compared = plan_name == "compare"
    arms, seeds = job_method.arms(schema) if compared else ({}, 1)
    method, preset, main = job_method.method_and_numbers(schema, planned=plan.values, compared=compared)
    facts = methods(schema)[method]
    more, validation, seed = job_method.more(
        files, dataset["id"], schemas, method=facts, planned=plan.values, compared=compared
    )
    settings = prefill.with_left({**plan.values, **main, **more}, left)
    st.caption(job_method.in_words(settings, schema, method=method, preset=preset))
    name = st.text_input(
        "Name (optional)", placeholder="invoices-1", max_chars=64, help="Letters, digits, dots, dashes.", key="job_name"
    )
    stops = blockers(
        report, chosen.model, hint=hint_in_rows(more, method=facts, preset=preset), said=more, method=facts
    )
    if compared and len(arms) < 2:
        stops.append("Choose two methods or more to compare.")
    if "preflight_rows" not in settings:
        settings = preflight.wanted_before_training(settings)
    body = request_body(
        dataset=dataset["id"],
        validation=validation,
        grader=chosen.grader,
        model=chosen.model or "",
        name="" if compared else name.strip(),
        seed=seed,
        x_rlsd={"preset": preset, "method": method, **settings},
    )
    titled = [("Before this job can start", stop) for stop in stops]
    told = None if stops else estimate.ask(client, body, flown=preflight.flown())
    if isinstance(told, ApiError):
        titled.append(estimate.refusal(told))
    for title, stop in titled:
        st.warning(stop, title=title, icon=":material/block:")
    preflight.panel(client, body, num_rows=dataset["rows"], ready=not titled)
    if told is not None and not isinstance(told, ApiError):
        estimate.show(told, runs=max(1, len(arms) * seeds))
    drafts.keep(WRITTEN, drafts.fields(FILLED, job_method.PRESET_OF))
    label = "Start comparing" if compared else "Start training"
    if rights.button(client, label, type="primary", icon=":material/rocket_launch:", disabled=bool(titled)):
        if compared:
            named = name.strip() or f"{' against '.join(arms.values())} on {dataset['filename']}"
            compare(comparison_body(body, name=named[:200], methods=arms, seeds=seeds))
        else:
            start(body)


def start(body: Json) -> None:
    """Create the job. A second press within seconds is the same wish, not a second job."""
    job = once(body, lambda: client.create_job(body)["id"], refused="The job was not created")
    if job is not None:
        st.switch_page("pages/job/page.py", query_params={"job": job})


def compare(body: Json) -> None:
    comparison = once(body, lambda: client.create_comparison(body)["id"], refused="The comparison was not started")
    if comparison is not None:
        st.switch_page("pages/compare/page.py", query_params={"comparison": comparison})


def once(body: Json, make: Any, *, refused: str) -> str | None:
    """The id of what was made of this body, just now or a moment ago; None where it was refused."""
    wanted = json.dumps(body, sort_keys=True)
    made: tuple[str, str, float] | None = st.session_state.get(MADE)
    if made is None or made[0] != wanted or time.monotonic() - made[2] > SAME_WISH_S:
        try:
            made = (wanted, make(), time.monotonic())
        except ApiError as error:
            problems.show(error, title=refused)
            return None
        st.session_state[MADE] = made
        drafts.forget(WRITTEN)
    return made[1]


st.title("New job", anchor=False)
st.write("Choose data, a verifier and a model, and how thorough it is to be. Everything else has a sensible default.")
of = state.address("from")
form(client.job(of) if of else None)
