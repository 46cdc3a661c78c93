"""State of one viewer's page run: identity, API client, time zone, the ids in the address.

Nothing about jobs, data or verifiers is kept here: that comes from the API each time. The key is in
`st.session_state` while the page is open; after a refresh the cookie leads to it again (`browser_sessions.py`).
"""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import streamlit as st

from frontend.api import Client, api_url, new_connections
from frontend.session import identity
from frontend.session.browser_sessions import SESSION, cookie_of, sessions
from frontend.session.drafts import drafts

KEY = "api_key"
TICKET = "sign_in_ticket"
NOTE = "sign_in_note"


@st.cache_resource
def _connections(url: str) -> httpx.Client:
    return new_connections(url)


def connections() -> httpx.Client:
    """Return the connection pool that all viewers share."""
    return _connections(api_url())


def signed_in() -> bool:
    """Report whether there is a key; after a refresh, take it from the browser's session."""
    if KEY not in st.session_state:
        session_id = st.context.cookies.get(cookie_of(st.context.headers.get("Host", "")))
        key = sessions.key_of(session_id) if session_id else None
        if key is None:
            return False
        st.session_state[KEY] = key
        st.session_state[SESSION] = session_id
    return True


def sign_in(key: str) -> None:
    """Store a key that the API has accepted, and prepare the cookie."""
    session_id, ticket = sessions.open(key)
    st.session_state[KEY] = key
    st.session_state[SESSION] = session_id
    st.session_state[TICKET] = ticket
    st.session_state.pop(NOTE, None)


def sign_out(note: str | None = None) -> None:
    """Forget the key, here and for this browser. `note`: why, if the viewer did not ask to sign out."""
    session_id = st.session_state.get(SESSION)
    if session_id:
        sessions.close(session_id)
        drafts.forget(session_id)
    st.session_state.clear()
    if note:
        st.session_state[NOTE] = note
    elif identity.signed_in():
        st.logout()


def client() -> Client:
    return Client(connections(), key=st.session_state[KEY])


def zone() -> ZoneInfo:
    """Return the viewer's time zone; UTC if the browser sends none or an unknown one."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def address(name: str) -> str | None:
    """Return the value of `name` in the address, e.g. `?job=ftjob-…`."""
    return st.query_params.get(name) or None
