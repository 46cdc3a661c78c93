"""The method of a new job: training plan, method, preset, and all settings, folded and with reasons."""

from collections.abc import Mapping

import streamlit as st

from frontend.api.types import FileReport, Json, Method
from frontend.components import setting_fields
from frontend.words import units
from frontend.words.job_settings import (
    ADAPTER,
    MAIN,
    PRACTICE,
    SECTIONS,
    WARM_START,
    facts_of,
    methods,
    presets,
    settings_for,
    warm_rows,
    with_target,
)
from frontend.words.training_plans import SEEDS, PlanName, TrainingPlan, available_plans, usual_arms

PRESET_OF = "preset_of_dataset"
"""Session key of the dataset by which the preset was chosen; another dataset may need another preset."""
ARMS_OF = "arms_of_dataset"
"""The same for the methods to compare."""
HELD_OUT = "a tenth of the training dataset"
MOST_SEEDS = 10


def plan(*, cloning: bool) -> tuple[PlanName, TrainingPlan]:
    """Show the training plans; return the chosen one with its name."""
    plans = available_plans(cloning=cloning)
    name: PlanName = st.radio(
        "How thorough?",
        list(plans),
        format_func=lambda name: plans[name].title,
        captions=[each.text for each in plans.values()],
        key="plan",
    )
    return name, plans[name]


def solved(report: FileReport) -> bool:
    """Report whether every row has a worked solution."""
    return bool(report["good"]) and report["with_solution"] == report["good"]


def arms(schema: Json, *, dataset: str, report: FileReport) -> tuple[dict[str, str], int]:
    """Show the methods to compare, preselected by the dataset. Returns (titles by name, number of seeds)."""
    known_methods = {name: facts for name, facts in methods(schema).items() if facts["teacher"] != "external"}
    if "arms" not in st.session_state or st.session_state.get(ARMS_OF) != dataset:
        st.session_state["arms"] = [name for name in usual_arms(solved=solved(report)) if name in known_methods]
        st.session_state[ARMS_OF] = dataset
    with st.container(border=True):
        left, right = st.columns([3, 1])
        chosen = left.multiselect(
            "Methods to compare",
            list(known_methods),
            format_func=lambda name: known_methods[name]["title"],
            key="arms",
            help="All others are compared with the first one, question by question. GRPO is the usual baseline; SFT, "
            "imitation alone, shows whether rewards are needed at all.",
        )
        seeds = right.number_input(
            "Seeds per method",
            1,
            MOST_SEEDS,
            SEEDS,
            key="arm_seeds",
            help="Training depends on chance. With three seeds per method, a difference is not due to a single lucky "
            "run.",
        )
        st.caption(
            "All methods use the same questions, steps and seeds, and are evaluated on the same held-out questions. "
            f"{len(chosen) * int(seeds):,} jobs, one after the other."
        )
    return {name: known_methods[name]["title"] for name in chosen}, int(seeds)


def preset_by_data(dataset: str, report: FileReport) -> None:
    """Preselect `steady` if every row has a worked solution; once per dataset, then the user decides."""

    if "preset" in st.session_state and st.session_state.get(PRESET_OF) == dataset:
        return
    st.session_state["preset"] = "steady" if solved(report) else "paper"
    st.session_state[PRESET_OF] = dataset


def method_and_numbers(schema: Json, *, planned: Mapping[str, float], compared: bool) -> tuple[str, str, Json]:
    """Show method and main settings. Returns (method, preset, settings that were filled in)."""
    with st.expander("Method and main settings", icon=":material/school:", key="method_fold"):
        method, preset = _method(schema, compared=compared)
        own = () if compared else methods(schema)[method]["defaults"]
        main = setting_fields.fields(MAIN, schema=schema, key="main", columns=5, planned=planned, as_published=own)
    return method, preset, main


def _method(schema: Json, *, compared: bool) -> tuple[str, str]:
    found = methods(schema)
    left, right = st.columns(2)
    method = "rlsd"
    if compared:
        left.caption("The methods are those chosen above.")
    else:
        method = left.selectbox(
            "Method",
            list(found),
            format_func=lambda name: found[name]["title"],
            key="method",
            help="docs/methods.md describes each method and its source. RLSD is the method that the Workbench is built "
            "for; GRPO is the usual baseline.",
        )
        left.caption(f"{found[method]['summary']} ({found[method]['source']})")
    if found[method]["teacher"] != "hinted":
        right.caption("This method does not show a hint to a teacher, so it has no preset.")
        return method, "paper"
    described = presets(schema)
    with right:
        chosen = st.segmented_control(
            "Preset",
            list(described),
            format_func=lambda name: described[name]["title"],
            required=True,
            key="preset",
            help="Steady is preselected if every row has a worked solution, for which it was designed; As published "
            "needs only answers.",
        )
        preset = str(chosen)
        st.caption(described[preset]["summary"])
    return method, preset


def more(
    schemas: Mapping[str, Json],
    *,
    report: FileReport,
    method: Method,
    planned: Mapping[str, float],
    compared: bool,
) -> tuple[Json, int | None]:
    """Show the further settings. Returns (settings, seed), as far as they were filled in."""
    with st.expander("More settings", icon=":material/tune:", key="more_fold"):
        st.caption(
            "Empty fields use the method's, the preset's or the default value shown. Each “?” explains the setting."
        )
        filled: Json = {}
        schema = schemas["RlsdSettings"]
        for title, section in SECTIONS.items():
            settings = settings_for(section, method=method, schema=schema)
            if settings:
                st.markdown(f"**{title}**")
                filled |= setting_fields.fields(
                    settings,
                    schema=schema,
                    key="set",
                    columns=3,
                    planned=planned,
                    as_published=method["defaults"],
                )
        st.markdown("**Warm start**")
        warm_schema = schemas["WarmStart"]
        warm = setting_fields.fields(WARM_START, schema=warm_schema, key="set_warm_start", columns=4, planned={})
        shown, target = with_target({"warm_start": warm}, report)
        st.caption(
            f"Before its first step the model imitates texts of training rows. {shown:,} of "
            f"{units.count(report['good'], 'row')} have the {target}."
        )
        filled |= {"warm_start": warm} if warm else {}
        practice = _practice(schemas["Practice"]) if method["rewarded"] else None
        st.markdown("**Adapter (LoRA)**")
        lora = setting_fields.fields(ADAPTER, schema=schemas["Lora"], key="set_lora", columns=3, planned={})
        seed = None
        if not compared:
            seed = st.number_input(
                "Seed",
                min_value=0,
                value=None,
                step=1,
                placeholder="random",
                key="job_seed",
                help="The same seed and settings reproduce the job.",
            )
    nested = ({"lora": lora} if lora else {}) | ({} if practice is None else {"practice": practice})
    return filled | nested, None if seed is None else int(seed)


def _practice(schema: Json) -> Json | None:
    """Show the switch of practice, and its settings if it is on. Returns those filled in; None if it is off."""
    st.markdown("**Practice**")
    practises = st.toggle(
        "Practise failed questions with a hint",
        key="practise",
        help="Questions that the model mostly fails are sampled once more with the hint in the prompt, and trained on "
        "under that prompt. Evaluations never have it.",
    )
    if not practises:
        return None
    return setting_fields.fields(PRACTICE, schema=schema, key="set_practice", columns=3, planned={})


def in_words(settings: Json, schema: Json, *, method: str, preset: str) -> str:
    """Summarise the chosen settings in one sentence."""

    def value(name: str) -> float:
        given = settings.get(name, facts_of(schema, name).default)
        return given if isinstance(given, int | float) else 0

    steps, batch, group = value("max_steps"), value("batch_size"), value("num_generations")
    facts, first = methods(schema)[method], warm_rows(settings)
    before = f"Imitation of {units.count(first, 'row')}, then " if first else ""
    if facts["imitates"]:
        return f"{before}{steps:,.0f} steps × {batch:,.0f} texts of rows to imitate. {facts['title']}."
    how = facts["title"] + (f", {presets(schema)[preset]['title'].lower()}" if facts["teacher"] == "hinted" else "")
    return (
        f"{before}{steps:,.0f} steps × {batch:,.0f} questions × {group:,.0f} completions = "
        f"{steps * batch * group:,.0f} completions to generate and score. {how}."
    )
