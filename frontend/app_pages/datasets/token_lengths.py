"""The lengths of a file's rows in a model's tokens, counted by a worker and compared with a job's limits."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import CheckObject, FileObject, FileReport, Json
from frontend.app_pages.datasets import charts as report_charts
from frontend.components import check_progress, rights
from frontend.words import units
from frontend.words.markdown import plain

USUAL_PROMPT, USUAL_COMPLETION = 1024, 512


def panel(client: Client, file: FileObject, report: FileReport) -> None:
    key = f"token_lengths_{file['id']}"
    names = [model["id"] for model in client.models() if model.get("owned_by") == "base"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox(
            "Model", names, accept_new_options=True, key="tokens_model", width=280, help="A name, or a Hugging Face id."
        )
        prompt = st.number_input("Maximum prompt tokens", 1, value=USUAL_PROMPT, key="tokens_prompt", width=180)
        completion = st.number_input(
            "Maximum completion tokens", 1, value=USUAL_COMPLETION, key="tokens_done", width=180
        )
        fold = st.checkbox(
            "System message inside the user message",
            key="tokens_fold",
            help="For models whose chat template has no system role.",
        )
        most, most_written = int(prompt), int(completion)
        check_progress.find(client, key, kind="token_lengths", like={"model": model}, file=file["id"])
        go = rights.button(
            client,
            "Count tokens",
            icon=":material/straighten:",
            key="tokens_go",
            disabled=check_progress.busy(key) or not model,
        )
    instruction = st.text_input(
        "Instruction to the model (optional)", key="tokens_instruction", help="The job's instruction, counted as well."
    ).strip()

    def start() -> CheckObject:
        return client.count_tokens(
            file["id"],
            model=model,
            max_prompt_tokens=most,
            max_completion_tokens=most_written,
            fold_system=fold,
            instruction=instruction,
        )

    of = {"model": model, "max_prompt_tokens": most, "max_completion_tokens": most_written, "fold_system": fold}
    of |= {"instruction": instruction}
    if go:
        check_progress.start(key, start, refused="The tokens were not counted")
    check_progress.result(
        client,
        key,
        of=of,
        notes=check_progress.Notes(
            failed="The tokens were not counted", stale="Counted for another model or other limits."
        ),
    )
    if not report.get("tokens"):
        st.caption("The number of tokens depends on the model's tokenizer.")
    for found in report.get("tokens") or []:
        _found(found)


def _found(found: Json) -> None:
    model = found["model"]
    with st.container(border=True):
        st.markdown(f"**{plain(str(model))}**, {units.count(found['checked'], 'row')} counted")
        for what, part in (("question", "prompt"), ("answer", "answer"), ("solution", "solution")):
            if found.get(what):
                report_charts.spread(found[what], of=part, unit="tokens", key=f"tokens_{model}_{what}")
        for above, limit, words in (
            ("prompts_above", "max_prompt_tokens", "prompts are longer than"),
            ("completions_above", "max_completion_tokens", "worked answers are longer than"),
        ):
            if found.get(above):
                st.warning(f"{found[above]:,} {words} {found[limit]:,} tokens.", icon=":material/warning:")
        if found.get("prompt_lines_above"):
            st.caption(f"Lines: {', '.join(map(str, found['prompt_lines_above']))}")
        if found.get("with_images"):
            st.caption(f"{units.count(found['with_images'], 'row')} contain images, whose tokens are not counted.")
