"""The sign-in form, and the piece of JavaScript that fetches the cookie."""

import streamlit as st

from frontend.api import ApiError, Client
from frontend.session import identity, state
from frontend.session.browser_sessions import sessions

FETCH_COOKIE = """
export default function ({ data }) {
  if (window.rlsdTicket === data.ticket) return;
  window.rlsdTicket = data.ticket;
  fetch(new URL("session", document.baseURI), { method: "POST", body: data.ticket, credentials: "same-origin" });
}
"""

_fetch_cookie = st.components.v2.component("rlsd_fetch_cookie", js=FETCH_COOKIE)


def keep_signed_in() -> None:
    """After sign-in, let the browser turn its ticket into the cookie; does nothing otherwise.

    The browser does not tell when it has done so: that would run the page anew, for the page that was open when it
    was asked, and a menu entry pressed meanwhile would lead nowhere.
    """
    ticket = st.session_state.get(state.TICKET)
    if ticket is not None and sessions.awaits(ticket):
        _fetch_cookie(key="fetch_cookie", data={"ticket": ticket})


def form() -> None:
    """Ask for a key and try it at the API."""
    _, middle, _ = st.columns([1, 1.6, 1])
    with middle:
        st.title("RLSD Workbench", anchor=False)
        st.write("Train a small open model on your own business logic, with your data and your verifier.")
        note = st.session_state.get(state.NOTE)
        if note:
            st.warning(note, icon=":material/key_off:")
        if identity.offered():
            _through_provider()
        with st.form("sign_in", border=True):
            key = st.text_input(
                "API key",
                type="password",
                placeholder="rlsd-…",
                help="It begins with rlsd- and is shown once, when it is made.",
            )
            asked = st.form_submit_button("Sign in", type="primary", width="stretch")
        st.caption("The first key is printed when the Workbench starts for the first time (`rlsd up`).")
        if asked:
            _try_key(key.strip())


def _through_provider() -> None:
    """The way to the organisation's sign-in, and back from it."""
    token = identity.id_token()
    if token is not None:
        _try_key(token)
        st.button("Use another account", icon=":material/switch_account:", on_click=st.logout)
    else:
        st.button(
            "Sign in with your organisation",
            type="primary",
            icon=":material/login:",
            width="stretch",
            on_click=st.login,
        )
    st.caption("Or with a key:")


def _try_key(key: str) -> None:
    if not key or not key.isascii() or not key.isprintable():
        st.error("Paste your API key first." if not key else "A key has no such characters: paste it once more.")
        return
    try:
        Client(state.connections(), key=key).models()
    except ApiError as error:
        unknown = error.code == "invalid_api_key"
        message = "This key is not known. Check that it is whole." if unknown else error.message
        st.error(message, icon=":material/error:")
        return
    state.sign_in(key)
    st.rerun()
