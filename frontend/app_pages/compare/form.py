"""The form of a new comparison: data, methods, seeds, budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json, Method
from frontend.app_pages.compare.request import BUDGETS, USUAL, arms, comparison_body, job_of_arm, lacking
from frontend.components import choices, estimate, instruction_field, rights, setting_fields
from frontend.session import state
from frontend.widgets import problems
from frontend.words import units
from frontend.words.job_settings import MAIN, OFFERED, inlined, methods, presets, request_body
from frontend.words.training_plans import usual_arms

MOST_SEEDS = 10
HELD_OUT = "a tenth of the dataset, different for each seed"
REASONS = {
    "max_steps": "The same for all methods. Enough for each of them to learn.",
    "learning_rate": "The same for all methods. A fair comparison also tries the baseline at its own best rate.",
    "eval_interval": "Each evaluation adds a point to the held-out curve, and takes time.",
}
MEASURED = replace(OFFERED["eval_interval"], label="Steps between evaluations")
SHARED = [replace(setting, why=REASONS.get(setting.name)) for setting in (*MAIN, MEASURED)]
"""The settings that all arms share."""


@dataclass(frozen=True, slots=True)
class ComparisonArms:
    """The methods to compare; the first is the baseline."""

    names: list[str]
    teacher_model: str
    seeds: int


@st.cache_data(ttl=600, show_spinner=False)
def _schema(_client: Client) -> Json:
    return inlined(_client.settings_schemas(), "RlsdSettings")


def show(client: Client) -> None:
    files, verifiers = client.datasets(), client.all_verifiers()
    if not files or not verifiers:
        st.info("A comparison needs a dataset and a verifier.", icon=":material/info:")
        st.page_link("app_pages/datasets/page.py", label="Datasets", icon=":material/table_rows:")
        st.page_link("app_pages/verifiers/page.py", label="Verifiers", icon=":material/fact_check:")
        return
    schema = _schema(client)
    facts = methods(schema)
    models = [model["id"] for model in client.models() if model["owned_by"] == "base"]
    st.subheader("Data and model", anchor=False)
    earlier = client.jobs(limit=choices.NEWEST_JOBS)["data"]
    chosen = choices.show(files, verifiers, models, source=None, earlier=earlier, held_out=HELD_OUT, zone=state.zone())
    if chosen.grader is None:
        choices.ask_for_verifier()
        return
    file = chosen.dataset["id"]
    instruction = instruction_field.show(client, chosen.spec, file=file, schema=schema, key="cmp_told")
    st.subheader("Methods", anchor=False)
    report = client.file_report(chosen.dataset["id"])
    solved = bool(report["good"]) and report["with_solution"] == report["good"]
    compared = _arms(facts, usual=usual_arms(solved=solved))
    preset = _preset(schema, solved=solved)
    st.subheader("Shared settings", anchor=False)
    settings = {
        **USUAL,
        **instruction,
        **setting_fields.fields(SHARED, schema=schema, key="cmp", columns=3, planned=USUAL),
    }
    unit, limit = _budget()
    titles = [facts[name]["title"] for name in compared.names]
    usual_name = f"{' vs. '.join(titles[1:] + titles[:1])} on {chosen.dataset['filename']}"
    name = st.text_input("Name (optional)", placeholder=usual_name, max_chars=200, key="cmp_name").strip()
    job = request_body(
        dataset=chosen.dataset["id"],
        validation=chosen.validation,
        grader=chosen.grader,
        model=chosen.model or "",
        name="",
        seed=None,
        x_rlsd={"preset": preset, **settings},
    )
    body = comparison_body(
        job,
        name=name or usual_name[:200],
        arm_bodies=arms(compared.names, facts=facts, teacher_model=compared.teacher_model),
        seeds=compared.seeds,
        unit=unit,
        limit=limit,
    )
    stops = [] if chosen.model else ["Choose a base model."]
    if len(compared.names) < 2:
        stops.append("Choose at least two methods.")
    if any(facts[name]["teacher"] == "external" for name in compared.names) and not compared.teacher_model:
        stops.append("Enter the larger teacher model.")
    stops += lacking(compared.names, schema=schema, preset=presets(schema)[preset], report=report)
    _start(client, body, stops, runs=len(compared.names) * compared.seeds)


def _arms(facts: dict[str, Method], *, usual: Sequence[str]) -> ComparisonArms:
    with st.container(border=True):
        ticked = st.pills(
            "Methods",
            list(facts),
            selection_mode="multi",
            default=[name for name in usual if name in facts],
            format_func=lambda name: facts[name]["title"],
            key="cmp_methods",
            help="All start from the same base model with the same settings. They differ in credit assignment; SFT has "
            "none, and imitates the rows' worked solutions.",
        )
        names = [name for name in facts if name in ticked]
        for name in names:
            st.caption(f"**{facts[name]['title']}**: {facts[name]['summary']}")
        left, middle, right = st.columns(3)
        first = left.selectbox(
            "Baseline",
            names,
            index=names.index("grpo") if "grpo" in names else 0 if names else None,
            format_func=lambda name: facts[name]["title"],
            key="cmp_first",
            help="All other methods are compared with this one, question by question.",
        )
        seeds = middle.number_input(
            "Seeds per method",
            1,
            MOST_SEEDS,
            3,
            key="cmp_seeds",
            help="Runs per method, which differ only by chance. With three or more, a difference is not due to a "
            "single lucky run.",
        )
        larger = ""
        if any(facts[name]["teacher"] == "external" for name in names):
            larger = right.text_input(
                "Larger teacher model",
                key="cmp_teacher",
                help="A listed name or a Hugging Face id, with the same tokenizer.",
            ).strip()
    ordered = [name for name in names if name == first] + [name for name in names if name != first]
    return ComparisonArms(ordered, larger, int(seeds))


def _preset(schema: Json, *, solved: bool) -> str:
    described = presets(schema)
    preset: str = st.segmented_control(
        "Preset",
        list(described),
        format_func=lambda name: described[name]["title"],
        default="steady" if solved else "paper",
        required=True,
        key="cmp_preset",
        help="Used only by methods whose teacher sees a hint.",
    )
    st.caption(described[preset]["summary"])
    return preset


def _budget() -> tuple[str, float | None]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        unit = st.segmented_control(
            "Equal budget in",
            list(BUDGETS),
            format_func=BUDGETS.__getitem__,
            default="steps",
            required=True,
            key="cmp_unit",
            help="Methods differ in cost: one with a teacher reads every answer once more. A run ends, with an "
            "evaluation, after the step that reaches its limit; evaluations do not count. Time is summed over the "
            "devices of a run.",
        )
        labels = {"steps": "Limit (steps)", "tokens": "Limit (tokens per run)", "seconds": "Limit (minutes per run)"}
        limit = st.number_input(
            labels[unit], min_value=1, value=None, step=1, placeholder="no limit", key="cmp_limit", width=220
        )
    if limit is None:
        return unit, None
    return unit, float(limit) * (60 if unit == "seconds" else 1)


def _start(client: Client, body: Json, stops: list[str], *, runs: int) -> None:
    titled = [("This comparison cannot start yet", stop) for stop in stops]
    estimated = None if stops else estimate.request(client, job_of_arm(body, body["arms"][-1]), preflight_id=None)
    if isinstance(estimated, ApiError):
        titled.append(estimate.refusal(estimated))
    for title, stop in titled:
        st.warning(stop, title=title, icon=":material/block:")
    st.caption(f"{units.count(len(body['arms']), 'method')} × {units.count(len(body['seeds']), 'seed')}: {runs} jobs.")
    if estimated is not None and not isinstance(estimated, ApiError):
        estimate.show(estimated, runs=runs)
    if rights.button(
        client, "Start comparison", type="primary", icon=":material/rocket_launch:", disabled=bool(titled)
    ):
        try:
            made = client.create_comparison(body)
        except ApiError as error:
            problems.show(error, title="The comparison was not created")
            return
        st.switch_page("app_pages/compare/page.py", query_params={"comparison": made["id"]})
