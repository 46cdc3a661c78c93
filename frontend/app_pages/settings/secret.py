"""A secret that the service returns once: it stays on the page until it is dismissed or another section is opened."""

import streamlit as st

KEPT = "secret_to_copy"


def keep(title: str, secret: str, *, section: str, note: str) -> None:
    st.session_state[KEPT] = {"title": title, "secret": secret, "section": section, "note": note}


def show(section: str) -> None:
    kept = st.session_state.get(KEPT)
    if kept is None:
        return
    if kept["section"] != section:
        forget()
        return
    with st.container(border=True, key="secret"):
        st.markdown(f"**{kept['title']}**")
        st.warning("Copy it now. It is shown only once and cannot be looked up later.", icon=":material/key:")
        st.code(kept["secret"], language=None)
        st.caption(kept["note"])
        st.button("I have copied it", icon=":material/check:", key="secret_copied", on_click=forget)


def forget() -> None:
    st.session_state.pop(KEPT, None)
