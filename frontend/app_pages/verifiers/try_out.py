"""The test of a verifier draft on a text."""

import json

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.components import rights, row_choice, row_view, score
from frontend.widgets import images, problems
from frontend.words.rollouts import SUCCESS_ABOVE

PASTED, FROM_DATA = "JSON row", "Dataset row"


def panel(client: Client, grader: Json) -> None:
    st.subheader("Test it", anchor=False)
    st.caption("Runs in the sandbox, as in training.")
    source = st.segmented_control("Row from", [FROM_DATA, PASTED], default=FROM_DATA, required=True, key="try_from")
    item, answer, solution = _pasted_item() if source == PASTED else _row_item(client)
    if solution or answer:
        with st.container(horizontal=True):
            if answer:
                right = answer[0] if isinstance(answer, list) else answer
                st.button("Insert right answer", key="try_right", on_click=_fill, args=(right,))
            if solution:
                st.button("Insert worked solution", key="try_solution", on_click=_fill, args=(solution,))
            st.button("Insert wrong answer", key="try_wrong", on_click=_fill, args=("Answer: no idea",))
    text = st.text_area("Text to score", height=120, key="try_text", placeholder="Paste or type an answer…")
    if rights.button(client, "Run verifier", icon=":material/play_arrow:", key="try_go", disabled=item is None):
        _run(client, grader, item=item or {}, answer=answer, text=text)
    shown = st.session_state.get("try_verdict")
    if shown is not None:
        if st.session_state.get("try_verdict_of") != _fingerprint(grader, item, text):
            st.caption("The verdict below is of an earlier draft, row or text.")
        score.show(shown, above=SUCCESS_ABOVE)


def _fill(text: str) -> None:
    st.session_state["try_text"] = text


def _fingerprint(grader: Json, item: Json | None, text: str) -> str:
    return json.dumps([grader, item, text], sort_keys=True)


def _run(client: Client, grader: Json, *, item: Json, answer: str | list[str] | None, text: str) -> None:
    st.session_state.pop("try_verdict", None)
    try:
        with st.spinner("Running…"):
            st.session_state["try_verdict"] = client.try_verifier(grader, item=item, answer=answer, output_text=text)
        st.session_state["try_verdict_source"] = grader.get("source")
        st.session_state["try_verdict_of"] = _fingerprint(grader, item, text)
    except ApiError as error:
        problems.show(error, title="The verifier could not be run")


def _pasted_item() -> tuple[Json | None, str | None, str | None]:
    written = st.text_area("The row, as JSON", value='{"answer": "42"}', height=90, key="try_item")
    try:
        item = json.loads(written)
    except ValueError as error:
        st.warning(f"This is not valid JSON: {error}", icon=":material/warning:")
        return None, None, None
    if not isinstance(item, dict):
        st.warning('A row must be a JSON object, such as {"answer": "42"}.', icon=":material/warning:")
        return None, None, None
    answer = item.get("answer")
    return item, None if answer is None else str(answer), None


def _row_item(client: Client) -> tuple[Json | None, str | list[str] | None, str | None]:
    files = client.datasets()
    if not files:
        st.info("There is no dataset yet. Paste a row as JSON instead, or upload a dataset.", icon=":material/inbox:")
        return None, None, None
    found = row_choice.row(client, files, key="try", like=row_choice.OF_A_VERIFIER)
    if found is None:
        return None, None, None
    file, row = found
    with st.container(border=True):
        st.caption("Question")
        row_view.show_question(row, image=images.loader(client, file["id"]))
        st.caption("Reference answer")
        st.text(row["reference"].get("answer") or "none")
    return row["item"], row_view.right_answer(row), row["reference"].get("solution")
