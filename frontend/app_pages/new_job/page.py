"""New job: dataset, verifier, model, training plan; everything else is folded. `?from=ftjob-…` copies a job."""

import json
import time
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileReport, JobObject, Json, Method, PresetFacts
from frontend.app_pages.new_job import method as job_method
from frontend.app_pages.new_job import prefill, preflight, remedies
from frontend.components import choices, estimate, instruction_field, rights
from frontend.components.job_table import title_of
from frontend.session import drafts, state
from frontend.widgets import problems
from frontend.words import starter, units
from frontend.words.job_settings import (
    SCHEMAS,
    allowed_name,
    hint_in_rows,
    hints,
    inlined,
    methods,
    practice_hint,
    presets,
    request_body,
    rows_without,
)
from frontend.words.markdown import plain
from frontend.words.training_plans import comparison_body

MADE = "job_just_made"
SAME_REQUEST_S = 10.0
FILLED = "job_form_filled_from"


@st.cache_data(ttl=600, show_spinner=False)
def settings_schemas(_client: Client) -> dict[str, Json]:
    """Return the API's schemas of a job's settings and of those that are nested, with references resolved."""
    schemas = _client.settings_schemas()
    return {name: inlined(schemas, name) for name in ("RlsdSettings", "PreflightRequest", *SCHEMAS.values())}


def draft_name() -> str:
    """Return the name of the form's draft: the address that the form was opened with."""
    return f"new_job?{'&'.join(f'{name}={value}' for name, value in st.query_params.items())}"


def missing_first(*, files: bool, verifiers: bool) -> bool:
    """Show what is missing before a job can be created; False if nothing is."""
    if files and verifiers:
        return False
    st.info("A job needs a dataset and a verifier.", icon=":material/info:")
    if not files:
        st.page_link("app_pages/datasets/page.py", label="Upload a dataset", icon=":material/upload:")
    if not verifiers:
        link = {"verifier": "new"}
        st.page_link("app_pages/verifiers/page.py", label="Write a verifier", icon=":material/edit:", query_params=link)
    return True


def fill_from(source: JobObject, schema: Json, *, files: set[str], verifiers: set[str]) -> Json:
    """Fill the form once from a job. Returns its settings that have no field."""
    defaults = {name: about.get("default") for name, about in schema["properties"].items()}
    defaults |= methods(schema)[source["method"]["reinforcement"]["x_rlsd"]["method"]]["defaults"]
    requested = prefill.requested_settings(source, defaults=defaults)
    filled = st.session_state.get(FILLED) == source["id"] and "job_dataset" in st.session_state
    if not filled:
        dataset = state.address("dataset") or source["training_file"]
        verifier = choices.verifier_of(source)
        values: dict[str, Any] = prefill.widget_states(requested) | {
            "plan": "as_before",
            "method": requested.get("method", "rlsd"),
            "preset": requested.get("preset", "paper"),
            job_method.PRESET_OF: dataset,
            "job_model": source["model"],
            "job_verifier": verifier if verifier in verifiers else choices.OF_JOB,
            "job_seed": source["seed"],
            "job_name": prefill.next_name(source["user_provided_suffix"]),
        }
        values |= {"job_dataset": dataset} if dataset in files else {}
        validation = source["validation_file"]
        values |= {"job_validation": validation} if validation in files and validation != dataset else {}
        values |= {choices.HELD_OUT_OF: dataset}
        st.session_state.update(values)
        st.session_state[FILLED] = source["id"]
        if (remedy := state.address("remedy")) is not None:
            remedies.take_from(source, remedy, dataset=dataset)
    return prefill.without_field(requested)


def blockers(
    report: FileReport, model: str | None, *, settings: Json, method: Method, preset: PresetFacts, schema: Json
) -> list[str]:
    """Return why the API would refuse the job."""
    found = [] if model else ["Choose a base model."]
    if method["teacher"] == "external" and not settings.get("teacher_model"):
        found.append("Enter the larger teacher model under “More settings”.")
    hint = hint_in_rows(settings, method=method, preset=preset, schema=schema)
    without = rows_without(hint, report, settings=settings)
    if hint is not None and without:
        found.append(
            f"{without:,} of {units.count(report['good'], 'row')} have no {hints(schema)[hint]['lack']}, but the "
            "teacher's hint needs it. Choose another hint, another preset, a method without a hint, or another dataset."
        )
    practised = practice_hint(settings, schema=schema)
    lacking = 0 if practised is None else report["good"] - int(str(report.get(f"with_{practised}", report["good"])))
    if practised is not None and lacking:
        found.append(
            f"{lacking:,} of {units.count(report['good'], 'row')} have no {hints(schema)[practised]['lack']}, but "
            "practice shows it: choose another hint in the prompt, or another dataset."
        )
    return found


def form(client: Client, source: JobObject | None, *, zone: ZoneInfo) -> None:
    files, verifiers = client.datasets(), client.all_verifiers()
    if missing_first(files=bool(files), verifiers=bool(verifiers) or source is not None):
        return
    drafts.restore(draft_name())
    schemas = settings_schemas(client)
    schema = schemas["RlsdSettings"]
    without_field: Json = {}
    if source is not None:
        ids = {file["id"] for file in files}, {verifier["id"] for verifier in verifiers}
        without_field = fill_from(source, schema, files=ids[0], verifiers=ids[1])
        st.caption(f"Filled in with the settings of **{plain(title_of(source))}**. Change what you like.")
    models = [model["id"] for model in client.models() if model["owned_by"] == "base"]
    earlier = client.jobs(limit=choices.NEWEST_JOBS)["data"]
    chosen = choices.show(
        files, verifiers, models, source=source, earlier=earlier, held_out=job_method.HELD_OUT, zone=zone
    )
    if chosen.grader is None:
        choices.ask_for_verifier()
        return
    dataset = chosen.dataset
    instruction = instruction_field.show(client, chosen.spec, file=dataset["id"], schema=schema, key="told")
    report = client.file_report(dataset["id"])
    job_method.preset_by_data(dataset["id"], report)
    plan_name, plan = job_method.plan(cloning=source is not None)
    compared = plan_name == "compare"
    arms, seeds = job_method.arms(schema, dataset=dataset["id"], report=report) if compared else ({}, 1)
    planned = {**plan.values, **({} if source else starter.usual_settings(chosen.model))}
    method, preset, main = job_method.method_and_numbers(schema, planned=planned, compared=compared)
    facts = methods(schema)[method]
    more, seed = job_method.more(schemas, report=report, method=facts, planned=planned, compared=compared)
    settings = prefill.merged({**planned, **remedies.kept(dataset["id"]), **instruction, **main, **more}, without_field)
    st.caption(job_method.in_words(settings, schema, method=method, preset=preset))
    written = st.text_input("Name (optional)", placeholder="invoices-1", key="job_name").strip()
    name = written[:200] if compared else allowed_name(written)
    if name != written:
        st.caption(f"The name becomes **{plain(name)}**." if name else "This name has no letter or digit a to z.")
    stops = blockers(report, chosen.model, settings=more, method=facts, preset=presets(schema)[preset], schema=schema)
    if compared and len(arms) < 2:
        stops.append("Choose at least two methods to compare.")
    if "preflight_rows" not in settings:
        settings = preflight.with_preflight(settings, schema=schemas["PreflightRequest"])
    body = request_body(
        dataset=dataset["id"],
        validation=chosen.validation,
        grader=chosen.grader,
        model=chosen.model or "",
        name="" if compared else name,
        seed=seed,
        x_rlsd={"preset": preset, "method": method, **settings},
    )
    titled = [("This job cannot start yet", stop) for stop in stops]
    estimated = None if stops else estimate.request(client, body, preflight_id=preflight.finished_id())
    if isinstance(estimated, ApiError):
        titled.append(estimate.refusal(estimated))
    for title, stop in titled:
        st.warning(stop, title=title, icon=":material/block:")
    preflight.panel(client, body, schema=schemas["PreflightRequest"], num_rows=dataset["rows"], ready=not titled)
    if estimated is not None and not isinstance(estimated, ApiError):
        estimate.show(estimated, runs=max(1, len(arms) * seeds))
    kept = (FILLED, choices.HELD_OUT_OF, job_method.PRESET_OF, job_method.ARMS_OF, remedies.KEPT)
    drafts.keep(draft_name(), drafts.fields(*kept))
    label = "Start comparison" if compared else "Start training"
    if rights.button(client, label, type="primary", icon=":material/rocket_launch:", disabled=bool(titled)):
        if compared:
            named = name or f"{' vs. '.join(arms.values())} on {dataset['filename']}"
            compare(client, comparison_body(body, name=named[:200], methods=arms, seeds=seeds))
        else:
            start(client, body)


def start(client: Client, body: Json) -> None:
    """Create the job. A second click within seconds does not create another one."""
    job = once(body, lambda: client.create_job(body)["id"], refused="The job was not created")
    if job is not None:
        st.switch_page("app_pages/job/page.py", query_params={"job": job})


def compare(client: Client, body: Json) -> None:
    comparison = once(body, lambda: client.create_comparison(body)["id"], refused="The comparison was not created")
    if comparison is not None:
        st.switch_page("app_pages/compare/page.py", query_params={"comparison": comparison})


def once(body: Json, make: Any, *, refused: str) -> str | None:
    """Return the id of what was created from this body, now or a moment ago; None if it was refused."""
    wanted = json.dumps(body, sort_keys=True)
    made: tuple[str, str, float] | None = st.session_state.get(MADE)
    if made is None or made[0] != wanted or time.monotonic() - made[2] > SAME_REQUEST_S:
        try:
            made = (wanted, make(), time.monotonic())
        except ApiError as error:
            problems.show(error, title=refused)
            return None
        st.session_state[MADE] = made
        drafts.forget(draft_name())
    return made[1]


def page() -> None:
    client, zone = state.client(), state.zone()
    st.title("New job", anchor=False)
    st.write("Choose a dataset, a verifier, a model and a training plan. Everything else has a sensible default.")
    of = state.address("from")
    form(client, client.job(of) if of else None, zone=zone)


if __name__ == "__main__":
    page()
