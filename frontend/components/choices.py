"""The three choices of a new job: dataset, verifier, base model."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api.types import FileObject, JobObject, Json, VerifierObject
from frontend.components.job_table import title_of
from frontend.session import state
from frontend.words import splits, starter, units
from frontend.words.verifier_kinds import KINDS

ANY_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
HELD_OUT_OF = "held_out_of_dataset"
"""Session key of the dataset for which the held-out dataset was preselected."""
NEWEST_JOBS = 20
"""Number of earlier jobs whose choices are offered again."""
OF_JOB = "of the job"
"""Stands for a verifier's id: the grader of the job that the form is filled from."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices; `model` is None while none is chosen."""

    dataset: FileObject
    grader: Json | None
    """As the request names it: a saved verifier by its id. None while none is chosen."""
    spec: Json
    """The grader in full; empty while none is chosen."""
    model: str | None
    validation: str | None
    """The id of the dataset with the held-out questions, if there is one."""


def show(
    files: Sequence[FileObject],
    verifiers: Sequence[VerifierObject],
    models: Sequence[str],
    *,
    source: JobObject | None,
    earlier: Sequence[JobObject],
    held_out: str,
    zone: ZoneInfo,
) -> Chosen:
    """Show the three choices.

    `source`: the job that the form is filled from; `earlier`: the newest jobs, whose verifier and model are offered
    again; `held_out`: what is measured on without a held-out dataset.
    """
    data_column, verifier_column, model_column = st.columns(3)
    with data_column.container(border=True, height="stretch"):
        dataset = _dataset(files, zone)
        validation = _held_out(files, dataset, usual=held_out)
    before = next((job for job in earlier if job["training_file"] == dataset["id"]), None)
    with verifier_column.container(border=True, height="stretch"):
        grader, spec = _verifier(_own_first(verifiers, dataset), source, before=before, dataset=dataset)
    with model_column.container(border=True, height="stretch"):
        model = st.selectbox(
            "Base model",
            models,
            index=_place(models, usual_model(models, before or next(iter(earlier), None))),
            accept_new_options=True,
            placeholder="name, Hugging Face id or folder",
            key="job_model",
            help="A listed model, or any causal language model by its Hugging Face id.",
        )
        st.caption("Its weights do not change: training creates an adapter.")
        if model == starter.MODEL and not starter.is_starter_file(dataset["filename"]):
            st.info(
                "The starter knows only the rule book of its own example, so it cannot learn other questions. Choose a "
                f"language model instead: enter its name above, for example `{ANY_MODEL}`.",
                icon=":material/help:",
            )
    return Chosen(dataset, grader, spec, model, validation)


def _dataset(files: Sequence[FileObject], zone: ZoneInfo) -> FileObject:
    by_id = {file["id"]: file for file in files}
    label = distinct_labels(
        {file["id"]: file["filename"] for file in files},
        more=lambda file_id: units.moment(by_id[file_id]["created_at"], zone),
    )
    chosen = st.selectbox(
        "Dataset",
        list(by_id),
        index=_place(list(by_id), state.address("dataset") or splits.default_dataset(files)),
        format_func=label,
        key="job_dataset",
    )
    file = by_id[chosen]
    st.caption(f"{units.count(file['rows'], 'row')}, uploaded {units.moment(file['created_at'], zone)}")
    return file


def _held_out(files: Sequence[FileObject], dataset: FileObject, *, usual: str) -> str | None:
    """Show the menu of held-out datasets, on the other side of a split if the dataset is one."""
    others = {file["id"]: file["filename"] for file in files if file["id"] != dataset["id"]}
    if st.session_state.get(HELD_OUT_OF) != dataset["id"]:
        st.session_state["job_validation"] = splits.validation_of(dataset, files)
        st.session_state[HELD_OUT_OF] = dataset["id"]
    return st.selectbox(
        "Held-out dataset",
        list(others),
        index=None,
        format_func=distinct_labels(others, more=lambda file_id: file_id[-6:]),
        placeholder=usual,
        key="job_validation",
        help="Questions for the evaluation before and after training. Rows of the training dataset are left out. With "
        "a separate file, all jobs answer the same questions.",
    )


def _own_first(verifiers: Sequence[VerifierObject], dataset: FileObject) -> list[VerifierObject]:
    """Put the starter's verifier last, unless the dataset is the starter's: it fits no other."""
    own = not starter.is_starter_file(dataset["filename"])
    return sorted(verifiers, key=lambda verifier: own and verifier["name"] == starter.VERIFIER)


def usual_model(models: Sequence[str], before: JobObject | None) -> str | None:
    """Return the model to offer: that of an earlier job, if the server still lists it."""
    return before["model"] if before is not None and before["model"] in models else None


def _verifier(
    verifiers: Sequence[VerifierObject], source: JobObject | None, *, before: JobObject | None, dataset: FileObject
) -> tuple[Json | None, Json]:
    """Return the chosen verifier as the request names it, and in full. `before`: an earlier job on the dataset.

    None is chosen while there is only the starter's, which fits no other dataset.
    """
    by_id = {verifier["id"]: verifier for verifier in verifiers}
    names = {verifier["id"]: verifier["name"] for verifier in verifiers}
    if source is not None and verifier_of(source) not in by_id:
        names = {OF_JOB: f"same as {title_of(source)}", **names}
    wanted = state.address("verifier") or (None if before is None else verifier_of(before))
    foreign = not starter.is_starter_file(dataset["filename"]) and set(names.values()) == {starter.VERIFIER}
    chosen = st.selectbox(
        "Verifier",
        list(names),
        index=None if foreign and wanted is None else _place(list(names), wanted),
        placeholder="choose a verifier",
        format_func=distinct_labels(names, more=lambda key: key[-6:]),
        key="job_verifier",
    )
    if chosen is None:
        st.caption("The starter's verifier is made for its own example.")
        return None, {}
    if chosen == OF_JOB:
        assert source is not None
        st.caption("The verifier of that job, which is not saved separately.")
        grader: Json = source["method"]["reinforcement"]["grader"]
        return grader, grader
    spec = by_id[chosen]
    st.caption(f"{KINDS.get(spec['grader']['type'], spec['grader']['type'])}, version {spec['version']}")
    return {"type": "saved", "id": chosen, "version": spec["version"]}, spec["grader"]


def ask_for_verifier() -> None:
    st.info("Choose a verifier, or write one for this dataset.", icon=":material/fact_check:")
    link = {"verifier": "new"}
    st.page_link("app_pages/verifiers/page.py", label="Write a verifier", icon=":material/edit:", query_params=link)


def verifier_of(job: JobObject) -> str | None:
    """Return the id of the saved verifier that a job was created with, if any."""
    known: Json = job["method"]["reinforcement"].get("x_verifier", {})
    return known.get("id")


def distinct_labels(names: dict[str, str], *, more: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function from id to label; names that occur twice are followed by `more(id)`."""
    often = Counter(names.values())
    return lambda key: names[key] if often[names[key]] == 1 else f"{names[key]} · {more(key)}"


def _place(ids: Sequence[str], wanted: str | None) -> int:
    return list(ids).index(wanted) if wanted is not None and wanted in ids else 0
