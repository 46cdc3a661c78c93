"""Starting a comparison: which methods, on what, how often, within which budget."""

from dataclasses import dataclass

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import DataFile, Json, Method
from frontend.components import choices, estimate, rights, setting_fields
from frontend.pages.compare.request import BUDGETS, USUAL, arms, comparison_body, job_of_arm, lacking
from frontend.session import state
from frontend.widgets import problems
from frontend.words import units
from frontend.words.job_settings import MAIN, PRESETS, Setting, inlined, methods

USUAL_METHODS = ("grpo", "rlsd")
MOST_SEEDS = 10
HELD_OUT = "a tenth of the dataset, another one for each seed"
MEASURED = (Setting("eval_interval", "Steps between measurements", "whole"),)
REASONS = {
    "max_steps": "The same for all. Enough that each has had time to learn.",
    "learning_rate": "The same for all. A fair comparison tries the baseline at its own best rate too.",
    "eval_interval": "Each measurement is a point of the held-out curve, and takes time of its own.",
}


@dataclass(frozen=True, slots=True)
class ComparisonArms:
    """The methods in their order, the first being what the others are compared with."""

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
        st.page_link("pages/datasets/page.py", label="Datasets", icon=":material/table_rows:")
        st.page_link("pages/verifiers/page.py", label="Verifiers", icon=":material/fact_check:")
        return
    schema = _schema(client)
    facts = methods(schema)
    models = [model["id"] for model in client.models() if model["owned_by"] == "base"]
    st.subheader("On what", anchor=False)
    chosen = choices.show(files, verifiers, models, source=None, zone=state.zone())
    validation = _held_out(files, chosen.dataset["id"])
    st.subheader("What is compared", anchor=False)
    ways = _ways(facts)
    report = client.file_report(chosen.dataset["id"])
    preset = _preset(solved=bool(report["good"]) and report["with_solution"] == report["good"])
    st.subheader("On equal terms", anchor=False)
    settings = {
        **USUAL,
        **setting_fields.fields(
            (*MAIN, *MEASURED), schema=schema, key="cmp", columns=3, reasons=REASONS, planned=USUAL
        ),
    }
    unit, limit = _budget()
    titles = [facts[name]["title"] for name in ways.names]
    usual_name = f"{' against '.join(titles[1:] + titles[:1])} on {chosen.dataset['filename']}"
    name = st.text_input("Name (optional)", placeholder=usual_name, max_chars=200, key="cmp_name").strip()
    body = comparison_body(
        name=name or usual_name[:200],
        dataset=chosen.dataset["id"],
        validation=validation,
        grader=chosen.grader,
        model=chosen.model or "",
        preset=preset,
        settings=settings,
        ways=arms(ways.names, facts=facts, teacher_model=ways.teacher_model),
        seeds=ways.seeds,
        unit=unit,
        limit=limit,
    )
    stops = [] if chosen.model else ["Choose a base model."]
    if len(ways.names) < 2:
        stops.append("Tick two methods or more.")
    if any(facts[name]["teacher"] == "external" for name in ways.names) and not ways.teacher_model:
        stops.append("Name the larger model to imitate.")
    stops += lacking(ways.names, facts=facts, preset=preset, report=report)
    _start(client, body, stops, runs=len(ways.names) * ways.seeds)


def _held_out(files: list[DataFile], dataset: str) -> str | None:
    others = {file["id"]: file["filename"] for file in files if file["id"] != dataset}
    return st.selectbox(
        "Held-out dataset (optional)",
        list(others),
        index=None,
        format_func=choices.told_apart(others, more=lambda file_id: file_id[-6:]),
        placeholder=HELD_OUT,
        key="cmp_validation",
        help="Questions that no run trains on, by which all are judged. With a file of its own every run answers the "
        "same ones, which tells small differences apart better.",
    )


def _ways(facts: dict[str, Method]) -> ComparisonArms:
    with st.container(border=True):
        ticked = st.pills(
            "Methods",
            list(facts),
            selection_mode="multi",
            default=[name for name in USUAL_METHODS if name in facts],
            format_func=lambda name: facts[name]["title"],
            key="cmp_methods",
            help="All start from the same base with the same settings; only how credit is shared out differs.",
        )
        names = [name for name in facts if name in ticked]
        for name in names:
            st.caption(f"**{facts[name]['title']}**: {facts[name]['summary']}")
        left, middle, right = st.columns(3)
        first = left.selectbox(
            "Compared with",
            names,
            index=names.index("grpo") if "grpo" in names else 0 if names else None,
            format_func=lambda name: facts[name]["title"],
            key="cmp_first",
            help="The baseline: every other method's score is set against this one's, question by question.",
        )
        seeds = middle.number_input(
            "Seeds each",
            1,
            MOST_SEEDS,
            3,
            key="cmp_seeds",
            help="Runs of each method, which differ by luck alone. With three or more a difference is more than one "
            "lucky run.",
        )
        larger = ""
        if any(facts[name]["teacher"] == "external" for name in names):
            larger = right.text_input(
                "Larger model to imitate", key="cmp_teacher", help="A listed name or a hub id, with the same tokenizer."
            ).strip()
    ordered = [name for name in names if name == first] + [name for name in names if name != first]
    return ComparisonArms(ordered, larger, int(seeds))


def _preset(*, solved: bool) -> str:
    preset: str = st.segmented_control(
        "Preset",
        list(PRESETS),
        format_func=lambda name: PRESETS[name][0],
        default="steady" if solved else "paper",
        required=True,
        key="cmp_preset",
        help="For the methods that show a teacher a hint; the others do not look at it.",
    )
    st.caption(PRESETS[preset][1])
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
            help="Methods cost differently: one with a teacher reads every answer once more. A run ends, measured, "
            "with the step that uses up its limit; measurements do not count. Time is that of all devices of a run.",
        )
        labels = {"steps": "Limit (steps)", "tokens": "Limit (tokens a run)", "seconds": "Limit (minutes a run)"}
        limit = st.number_input(
            labels[unit], min_value=1, value=None, step=1, placeholder="none: at the end", key="cmp_limit", width=220
        )
    if limit is None:
        return unit, None
    return unit, float(limit) * (60 if unit == "seconds" else 1)


def _start(client: Client, body: Json, stops: list[str], *, runs: int) -> None:
    titled = [("Before this can start", stop) for stop in stops]
    told = None if stops else estimate.ask(client, job_of_arm(body, body["arms"][-1]), flown=None)
    if isinstance(told, ApiError):
        titled.append(estimate.refusal(told))
    for title, stop in titled:
        st.warning(stop, title=title, icon=":material/block:")
    st.caption(f"{units.count(len(body['arms']), 'method')} × {units.count(len(body['seeds']), 'seed')}: {runs} jobs.")
    if told is not None and not isinstance(told, ApiError):
        estimate.show(told, runs=runs)
    if rights.button(client, "Start comparing", type="primary", icon=":material/rocket_launch:", disabled=bool(titled)):
        try:
            made = client.create_comparison(body)
        except ApiError as error:
            problems.show(error, title="The comparison was not started")
            return
        st.switch_page("pages/compare/page.py", query_params={"comparison": made["id"]})
