"""Verifiers to start from, as cards: what each is for, and what it says of an example."""

import streamlit as st

from frontend.components import links, row_view
from frontend.shapes import Json
from frontend.verifier_starts import KINDS

ACROSS = 3
EXAMPLE_CHARACTERS = 160


def show(starts: list[Json]) -> None:
    st.subheader("Start from a ready one", anchor=False)
    st.caption("Each opens as a draft that you change to fit your rule; nothing is saved until you say so.")
    for first in range(0, len(starts), ACROSS):
        for place, start in zip(st.columns(ACROSS), starts[first : first + ACROSS], strict=False):
            with place.container(border=True, height="stretch", key=f"start_{start['id']}"):
                _card(start)


def _card(start: Json) -> None:
    kind = KINDS.get(start["grader"]["type"], start["grader"]["type"])
    st.markdown(f"**{row_view.plain(start['name'])}** :gray-badge[{kind}]")
    st.caption(row_view.plain(start["use"]))
    for example in start["examples"][:2]:
        text = row_view.plain(" ".join(example["text"].split())[:EXAMPLE_CHARACTERS]) or "(nothing)"
        st.markdown(f":{'green' if example['score'] > 0 else 'red'}-badge[{example['score']:g}] {text}")
    links.within(
        "app_pages/verifiers.py",
        "Start from this",
        icon=":material/arrow_forward:",
        key=f"start_from_{start['id']}",
        verifier="new",
        start=start["id"],
    )
