"""How long a file's rows are for a model, in its tokens: counted by a worker, shown beside the limits of a job."""

from typing import Any

import streamlit as st

from frontend import report_charts, units
from frontend.client import ApiError, Client
from frontend.components import problems
from frontend.shapes import Check, DataFile, FileReport, Json

KEPT = "token_lengths_check"
POLL_S = 0.7
USUAL_PROMPT, USUAL_COMPLETION = 1024, 512


def panel(client: Client, file: DataFile, report: FileReport) -> None:
    names = [model["id"] for model in client.models() if model.get("owned_by") == "base"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox(
            "Model", names, accept_new_options=True, key="tokens_model", width=280, help="A name, or a hub id."
        )
        prompt = st.number_input("Prompt tokens at most", 1, value=USUAL_PROMPT, key="tokens_prompt", width=180)
        completion = st.number_input(
            "Completion tokens at most", 1, value=USUAL_COMPLETION, key="tokens_done", width=180
        )
        kept: tuple[str, Check] | None = st.session_state.get(KEPT)
        if kept is not None and kept[0] != file["id"]:
            kept = None
        busy = kept is not None and kept[1]["status"] in ("queued", "running")
        if st.button("Count the tokens", icon=":material/straighten:", key="tokens_go", disabled=busy or not model):
            kept = _ask(client, file["id"], model=model, prompt=int(prompt), completion=int(completion))
    if kept is not None and kept[1]["status"] in ("queued", "running"):
        st.fragment(_wait, run_every=POLL_S)(client)
    elif kept is not None and kept[1]["status"] == "failed":
        st.error((kept[1]["error"] or {}).get("message", "The tokens could not be counted."))
    if not report.get("tokens"):
        st.caption("How much a model has to read and write depends on its tokenizer.")
    for found in report.get("tokens") or []:
        _found(found)


def _ask(client: Client, file_id: str, *, model: str, prompt: int, completion: int) -> tuple[str, Check] | None:
    st.session_state.pop(KEPT, None)
    try:
        check = client.count_tokens(file_id, model=model, max_prompt_tokens=prompt, max_completion_tokens=completion)
    except ApiError as error:
        problems.show(error, title="Not counted")
        return None
    st.session_state[KEPT] = (file_id, check)
    return file_id, check


def _wait(client: Client) -> None:
    file_id, check = st.session_state[KEPT]
    with problems.shown():
        check = client.check(check["id"])
    st.session_state[KEPT] = (file_id, check)
    if check["status"] in ("done", "failed"):
        st.rerun()
    progress = check["progress"]
    if progress is None:
        st.progress(0.0, text="Waiting for a worker…")
    else:
        done, total = progress["done"], max(1, progress["total"])
        st.progress(min(1.0, done / total), text=f"{done:,} of {units.count(total, 'row')}")


def _found(found: Json) -> None:
    model = found["model"]
    with st.container(border=True):
        st.markdown(f"**{_plain(model)}**, {units.count(found['checked'], 'row')} looked at")
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
            st.caption(f"{units.count(found['with_images'], 'row')} show images, whose tokens are not counted.")


def _plain(text: Any) -> str:
    """A name without the signs that Markdown would take for its own."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>$:" else sign for sign in str(text))
