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
    """After sign-in, let the browser exchange its ticket for the cookie; otherwise do nothing.

    The browser does not report success: that would rerun the page, and a menu entry clicked meanwhile would be lost.
    """
    ticket = st.session_state.get(state.TICKET)
    if ticket is not None and sessions.awaits(ticket):
        _fetch_cookie(key="fetch_cookie", data={"ticket": ticket})


def form() -> None:
    """Show the sign-in form and try the given key on the API."""
    _, middle, _ = st.columns([1, 1.6, 1])
    with middle:
        st.title("RLSD Workbench", anchor=False)
        st.write("Train a small open model on your own business logic, with your data and your verifier.")
        note = st.session_state.get(state.NOTE)
        if note:
            st.warning(note, icon=":material/key_off:")
        if identity.is_configured():
            _through_provider()
        with st.form("sign_in", border=True):
            key = st.text_input(
                "API key",
                type="password",
                placeholder="rlsd-…",
                help="Starts with rlsd-. A key is shown only once, when it is created.",
            )
            submitted = st.form_submit_button("Sign in", type="primary", width="stretch")
        st.caption("`rlsd up` prints the first key when the Workbench starts for the first time.")
        if submitted:
            _try_key(key.strip())


def _through_provider() -> None:
    """Offer sign-in through the organisation's identity provider; use its token once it is there."""
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
    st.caption("Or sign in with a key:")


def _try_key(key: str) -> None:
    if not key or not key.isascii() or not key.isprintable():
        st.error(
            "Paste your API key first." if not key else "This key contains characters that no key has. Paste it again."
        )
        return
    try:
        Client(state.connections(), key=key).models()
    except ApiError as error:
        unknown = error.code == "invalid_api_key"
        message = "This key is not valid. Check that you have pasted all of it." if unknown else error.message
        st.error(message, icon=":material/error:")
        return
    state.sign_in(key)
    st.rerun()
