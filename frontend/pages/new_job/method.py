"""How a new job learns: the method, its preset, the numbers, and everything else, each folded with its reason."""

from collections.abc import Mapping, Sequence

import streamlit as st

from frontend.api.types import DataFile, FileReport, Json, Method
from frontend.components import setting_fields
from frontend.words.job_settings import ADAPTER, MAIN, PRESETS, SECTIONS, known, methods, shown
from frontend.words.method_reasons import ADAPTER_REASONS, REASONS
from frontend.words.training_plans import ARMS, SEEDS, PlanName, TrainingPlan, offered

PRESET_OF = "preset_of_dataset"
"""The dataset by which the preset was chosen; another one may call for another."""
HELD_OUT = "a tenth of the dataset, held out"
MOST_SEEDS = 10


def plan(*, cloning: bool) -> tuple[PlanName, TrainingPlan]:
    """How thorough."""
    plans = offered(cloning=cloning)
    name: PlanName = st.radio(
        "How thorough?",
        list(plans),
        format_func=lambda name: plans[name].title,
        captions=[each.text for each in plans.values()],
        key="plan",
    )
    return name, plans[name]


def arms(schema: Json) -> tuple[dict[str, str], int]:
    """(titles of the compared methods by name, seeds)."""
    known_methods = {name: facts for name, facts in methods(schema).items() if facts["teacher"] != "external"}
    with st.container(border=True):
        left, right = st.columns([3, 1])
        chosen = left.multiselect(
            "Methods to compare",
            list(known_methods),
            default=[name for name in ARMS if name in known_methods],
            format_func=lambda name: known_methods[name]["title"],
            key="arms",
            help="The others are compared with the first, question by question. GRPO is the usual baseline.",
        )
        seeds = right.number_input(
            "Seeds each",
            1,
            MOST_SEEDS,
            SEEDS,
            key="arm_seeds",
            help="Training has luck in it: with three seeds each, a difference is more than one lucky run.",
        )
        st.caption(
            "All get the same questions, steps and seeds, and are judged on the same held-out questions. "
            f"{len(chosen) * int(seeds):,} jobs, one after the other."
        )
    return {name: known_methods[name]["title"] for name in chosen}, int(seeds)


def preset_by_data(dataset: str, report: FileReport) -> None:
    """`steady` where every row has a worked solution for its teacher; once for each dataset, then the user's choice."""
    if "preset" in st.session_state and st.session_state.get(PRESET_OF) == dataset:
        return
    st.session_state["preset"] = "steady" if report["good"] and report["with_solution"] == report["good"] else "paper"
    st.session_state[PRESET_OF] = dataset


def method_and_numbers(schema: Json, *, planned: Mapping[str, int], compared: bool) -> tuple[str, str, Json]:
    """(method, preset, numbers that were filled in)."""
    with st.expander("Method and numbers", icon=":material/school:", key="method_fold"):
        method, preset = _method(schema, compared=compared)
        main = setting_fields.fields(MAIN, schema=schema, key="main", columns=5, reasons=REASONS, planned=planned)
    return method, preset, main


def _method(schema: Json, *, compared: bool) -> tuple[str, str]:
    found = methods(schema)
    left, right = st.columns(2)
    method = "rlsd"
    if compared:
        left.caption("The methods are those that you compare.")
    else:
        method = left.selectbox(
            "Method",
            list(found),
            format_func=lambda name: found[name]["title"],
            key="method",
            help="What each one does, with its source, stands in docs/methods.md. RLSD comes first, since it is what "
            "the Workbench is made for; GRPO is the plain baseline.",
        )
        left.caption(f"{found[method]['summary']} ({found[method]['source']})")
    if found[method]["teacher"] != "hinted":
        right.caption("No hint is shown to a teacher, so there is no preset to choose.")
        return method, "paper"
    with right:
        chosen = st.segmented_control(
            "Preset",
            list(PRESETS),
            format_func=lambda name: PRESETS[name][0],
            required=True,
            key="preset",
            help="Steady is proposed where every row has a worked solution, since it was made for those; As published "
            "needs answers only.",
        )
        preset = str(chosen)
        st.caption(PRESETS[preset][1])
    return method, preset


def more(
    files: Sequence[DataFile],
    dataset: str,
    schemas: Mapping[str, Json],
    *,
    method: Method,
    planned: Mapping[str, int],
    compared: bool,
) -> tuple[Json, str | None, int | None]:
    """(further settings, held-out dataset, seed) as far as they were filled in."""
    with st.expander("More settings", icon=":material/tune:", key="more_fold"):
        st.caption("What stays empty follows the method, the preset and the defaults shown. Each “?” says why.")
        filled: Json = {}
        schema = schemas["RlsdSettings"]
        for title, section in SECTIONS:
            settings = shown(section, method=method, schema=schema)
            if settings:
                st.markdown(f"**{title}**")
                filled |= setting_fields.fields(
                    settings,
                    schema=schema,
                    key="set",
                    columns=3,
                    reasons=REASONS,
                    planned=planned,
                    as_published=method["defaults"],
                )
        st.markdown("**Adapter (LoRA)**")
        lora = setting_fields.fields(
            ADAPTER, schema=schemas["Lora"], key="set_lora", columns=3, reasons=ADAPTER_REASONS, planned={}
        )
        st.markdown("**Held-out questions and seed**")
        left, right = st.columns(2)
        others = {file["id"]: file["filename"] for file in files if file["id"] != dataset}
        validation = left.selectbox(
            "Held-out dataset",
            list(others),
            index=None,
            format_func=others.__getitem__,
            placeholder=HELD_OUT,
            key="job_validation",
            help="Questions that are never trained on; before and after are measured with them.",
        )
        seed = None
        if not compared:
            seed = right.number_input(
                "Seed",
                min_value=0,
                value=None,
                step=1,
                placeholder="chosen by the service",
                key="job_seed",
                help="The same seed and settings give the same job again.",
            )
    return filled | ({"lora": lora} if lora else {}), validation, None if seed is None else int(seed)


def in_words(settings: Json, schema: Json, *, method: str, preset: str) -> str:
    """One sentence on what was chosen and what it comes to."""

    def value(name: str) -> float:
        said = settings.get(name, known(schema, name).default)
        return said if isinstance(said, int | float) else 0

    steps, batch, group = value("max_steps"), value("batch_size"), value("num_generations")
    facts = methods(schema)[method]
    how = facts["title"] + (f", {PRESETS[preset][0].lower()}" if facts["teacher"] == "hinted" else "")
    return (
        f"{steps:,.0f} steps × {batch:,.0f} questions × {group:,.0f} completions = "
        f"{steps * batch * group:,.0f} completions to write and verify. {how}."
    )
