"""New job: three choices, a preset, the main settings; everything else folded."""

import json
import time

import streamlit as st

from frontend import state, units
from frontend.client import ApiError, Client
from frontend.components import preflight, problems, setting_fields
from frontend.job_settings import (
    ADAPTER,
    MAIN,
    NEEDED,
    PRESETS,
    SECTIONS,
    hint_in_rows,
    inlined,
    known,
    methods,
    request_body,
    shown,
)
from frontend.shapes import DataFile, Json, Method, Verifier
from frontend.verifier_starts import KINDS

HELD_OUT = "a tenth of the dataset, held out"
MADE = "job_just_made"
SAME_WISH_S = 10.0

client, zone = state.client(), state.zone()


@st.cache_data(ttl=600, show_spinner=False)
def settings_schemas(_client: Client) -> dict[str, Json]:
    """The API's description of a job's settings and of the adapter's, each whole in itself."""
    schemas = _client.settings_schemas()
    return {name: inlined(schemas, name) for name in ("RlsdSettings", "Lora")}


def index_of(ids: list[str], wanted: str | None) -> int:
    return ids.index(wanted) if wanted in ids else 0


def missing_first(files: list[DataFile], verifiers: list[Verifier]) -> bool:
    """Say what has to be there before a job can be made."""
    if files and verifiers:
        return False
    st.info("A job needs a dataset and a verifier.", icon=":material/info:")
    if not files:
        st.page_link("app_pages/datasets.py", label="Upload a dataset", icon=":material/upload:")
    if not verifiers:
        link = {"verifier": "new"}
        st.page_link("app_pages/verifiers.py", label="Write a verifier", icon=":material/edit:", query_params=link)
    return True


def choices(files: list[DataFile], verifiers: list[Verifier], models: list[str]) -> tuple[str, str, str | None]:
    data_column, verifier_column, model_column = st.columns(3)
    with data_column.container(border=True, height="stretch"):
        names = {file["id"]: file["filename"] for file in files}
        dataset = st.selectbox(
            "Dataset",
            list(names),
            index=index_of(list(names), state.address("dataset")),
            format_func=names.__getitem__,
            key="job_dataset",
        )
        chosen = next(file for file in files if file["id"] == dataset)
        st.caption(f"{units.count(chosen['rows'], 'row')}, uploaded {units.moment(chosen['created_at'], zone)}")
    with verifier_column.container(border=True, height="stretch"):
        labels = {verifier["id"]: verifier["name"] for verifier in verifiers}
        verifier = st.selectbox(
            "Verifier",
            list(labels),
            index=index_of(list(labels), state.address("verifier")),
            format_func=labels.__getitem__,
            key="job_verifier",
        )
        spec = next(found for found in verifiers if found["id"] == verifier)
        st.caption(f"{KINDS.get(spec['grader']['type'], spec['grader']['type'])}, version {spec['version']}")
    with model_column.container(border=True, height="stretch"):
        model = st.selectbox(
            "Base model",
            models,
            accept_new_options=True,
            placeholder="name, hub id or folder",
            key="job_model",
            help="One of the list, or any causal language model by its Hugging Face id.",
        )
        st.caption("Its weights stay as they are; what is trained is an adapter.")
    return dataset, verifier, model


def how(schema: Json) -> tuple[str, str]:
    """Method and preset."""
    offered = methods(schema)
    left, right = st.columns(2)
    method = left.selectbox(
        "Method",
        list(offered),
        format_func=lambda name: offered[name]["title"],
        key="method",
        help="What each one does, with its source, stands in docs/methods.md.",
    )
    left.caption(f"{offered[method]['summary']} ({offered[method]['source']})")
    if offered[method]["teacher"] != "hinted":
        right.caption("No hint is shown to a teacher, so there is no preset to choose.")
        return method, "paper"
    with right:
        preset = st.segmented_control(
            "Preset",
            list(PRESETS),
            format_func=lambda name: PRESETS[name][0],
            default="paper",
            required=True,
            key="preset",
        )
        st.caption(PRESETS[preset][1])
    return method, preset


def blockers(dataset: str, model: str | None, *, hint: str | None, said: Json, method: Method) -> list[str]:
    """What would make the API refuse the job. `hint`: what every row must have."""
    found = [] if model else ["Choose a base model."]
    if method["teacher"] == "external" and not said.get("teacher_model"):
        found.append("Name the larger model to imitate, under “More settings”.")
    if hint is not None:
        report = client.file_report(dataset)
        column, words = NEEDED[hint]
        counted = report.get(column)
        without = 0 if counted is None else report["good"] - int(str(counted))
        if without:
            found.append(
                f"{without:,} of {units.count(report['good'], 'row')} have {words}, and the teacher is to be shown it: "
                "choose another hint, another preset, a method without a hint, or another dataset."
            )
    return found


def size_of(settings: Json, schema: Json) -> None:
    """What the numbers come to."""

    def value(name: str) -> float | None:
        said = settings.get(name, known(schema, name).default)
        return said if isinstance(said, int | float) else None

    steps, batch, group = value("max_steps"), value("batch_size"), value("num_generations")
    if steps and batch and group:
        st.caption(
            f"{steps:,.0f} steps × {batch:,.0f} questions × {group:,.0f} completions = "
            f"{steps * batch * group:,.0f} completions to write and verify."
        )


def folded(
    files: list[DataFile], dataset: str, schemas: dict[str, Json], *, method: Method
) -> tuple[Json, str | None, int | None]:
    with st.expander("More settings", icon=":material/tune:"):
        st.caption("What stays empty follows the method, the preset and the defaults shown.")
        filled: Json = {}
        schema = schemas["RlsdSettings"]
        for title, section in SECTIONS:
            settings = shown(section, method=method, schema=schema)
            if settings:
                st.markdown(f"**{title}**")
                filled |= setting_fields.fields(
                    settings, schema=schema, key="set", columns=3, as_published=method["defaults"]
                )
        st.markdown("**Adapter (LoRA)**")
        lora = setting_fields.fields(ADAPTER, schema=schemas["Lora"], key="set_lora", columns=3)
        st.markdown("**Held-out questions and seed**")
        left, right = st.columns(2)
        others = {file["id"]: file["filename"] for file in files if file["id"] != dataset}
        validation = left.selectbox(
            "Held-out dataset", list(others), index=None, format_func=others.__getitem__, placeholder=HELD_OUT
        )
        seed = right.number_input("Seed", min_value=0, value=None, step=1, placeholder="chosen by the service")
    return filled | ({"lora": lora} if lora else {}), validation, None if seed is None else int(seed)


def form(files: list[DataFile], verifiers: list[Verifier], models: list[str]) -> None:
    schemas = settings_schemas(client)
    schema = schemas["RlsdSettings"]
    dataset, verifier, model = choices(files, verifiers, models)
    method, preset = how(schema)
    facts = methods(schema)[method]
    main = setting_fields.fields(MAIN, schema=schema, key="main", columns=5)
    more, validation, seed = folded(files, dataset, schemas, method=facts)
    settings = main | more
    size_of(settings, schema)
    name = st.text_input(
        "Name (optional)", placeholder="invoices-1", max_chars=64, help="Letters, digits, dots, dashes.", key="job_name"
    )
    hint = hint_in_rows(more, method=facts, preset=preset)
    stops = blockers(dataset, model, hint=hint, said=more, method=facts)
    for stop in stops:
        st.warning(stop, title="Before this job can start", icon=":material/block:")
    body = request_body(
        dataset=dataset,
        validation=validation,
        verifier=verifier,
        model=model or "",
        name=name.strip(),
        seed=seed,
        x_rlsd={"preset": preset, "method": method, **preflight.wanted_before_training(settings)},
    )
    num_rows = next(file["rows"] for file in files if file["id"] == dataset)
    preflight.panel(client, body, num_rows=num_rows, ready=not stops)
    if st.button("Start training", type="primary", icon=":material/rocket_launch:", disabled=bool(stops)):
        start(body)


def start(body: Json) -> None:
    """Create the job. A second press within seconds is the same wish, not a second job."""
    wanted = json.dumps(body, sort_keys=True)
    made: tuple[str, str, float] | None = st.session_state.get(MADE)
    if made is None or made[0] != wanted or time.monotonic() - made[2] > SAME_WISH_S:
        try:
            made = (wanted, client.create_job(body)["id"], time.monotonic())
        except ApiError as error:
            problems.show(error, title="The job was not created")
            return
        st.session_state[MADE] = made
    st.switch_page("app_pages/job.py", query_params={"job": made[1]})


st.title("New job", anchor=False)
st.write("Choose data, a verifier and a model. Everything else has a sensible default.")
all_files, all_verifiers = client.datasets(), client.verifiers()["data"]
if not missing_first(all_files, all_verifiers):
    form(all_files, all_verifiers, [model["id"] for model in client.models() if model["owned_by"] == "base"])
