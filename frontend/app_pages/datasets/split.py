"""The form that splits a dataset into training and validation data."""

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileObject
from frontend.components import rights
from frontend.widgets import links, problems
from frontend.words import units
from frontend.words.markdown import plain

PAGE = "app_pages/datasets/page.py"
NOT, ANSWER, COLUMN = "no (random)", "by answer", "by a column"
MADE = "split_made"


def panel(client: Client, file: FileObject) -> None:
    st.caption(
        "Creates two new datasets that together contain each row once. Duplicates stay together. This dataset does not "
        "change."
    )
    left, middle, right = st.columns(3)
    share = left.slider("For validation", 5, 50, 20, step=5, format="%d %%", key="split_share")
    seed = middle.number_input(
        "Seed", min_value=0, max_value=2**31 - 1, value=0, key="split_seed", help="The same seed gives the same split."
    )
    how = right.selectbox("Stratify", [NOT, ANSWER, COLUMN], key="split_how")
    column = None
    if how == COLUMN:
        column = st.text_input("Column, or a path with dots", max_chars=200, key="split_column")
    if rights.button(
        client,
        "Split",
        type="primary",
        icon=":material/call_split:",
        key="split_go",
        disabled=how == COLUMN and not column,
    ):
        st.session_state.pop(MADE, None)
        by = "answer" if how == ANSWER else column
        try:
            with st.spinner("Splitting…"):
                made = client.split_file(file["id"], share=share / 100, seed=int(seed), stratify_by=by)
        except ApiError as error:
            problems.show(error, title="The dataset was not split")
            return
        st.session_state[MADE] = (file["id"], made)
    of, halves = st.session_state.get(MADE, (None, {}))
    if of == file["id"]:
        _show(halves)


def _show(halves: dict[str, FileObject]) -> None:
    for side, icon in (("train", ":material/school:"), ("validation", ":material/straighten:")):
        made = halves[side]
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            links.within(PAGE, plain(made["filename"]), icon=icon, key=f"split_{side}", dataset=made["id"])
            st.caption(f"for {'training' if side == 'train' else 'validation'}", width="stretch")
            st.caption(units.count(made["rows"], "row"), width="content")
