"""What one viewer's page run needs: who they are, their client, their time zone, the ids in the address.

Nothing about jobs, data or verifiers is kept here: that comes from the API each time. The key is in
`st.session_state` while the page is open; after a refresh it is found again through the cookie (`sessions.py`).
"""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import streamlit as st

from frontend.api import Client, api_url, new_connections
from frontend.session import identity
from frontend.session.browser_sessions import COOKIE, SESSION, sessions
from frontend.session.drafts import drafts

KEY = "api_key"
TICKET = "sign_in_ticket"
NOTE = "sign_in_note"


@st.cache_resource
def _connections(url: str) -> httpx.Client:
    return new_connections(url)


def connections() -> httpx.Client:
    """The pool shared by all viewers."""
    return _connections(api_url())


def signed_in() -> bool:
    """Whether a key is at hand; takes it from the browser's session after a refresh."""
    if KEY not in st.session_state:
        session_id = st.context.cookies.get(COOKIE)
        key = sessions.key_of(session_id) if session_id else None
        if key is None:
            return False
        st.session_state[KEY] = key
        st.session_state[SESSION] = session_id
    return True


def sign_in(key: str) -> None:
    """Keep a key that the API has accepted, and prepare the cookie."""
    session_id, ticket = sessions.open(key)
    st.session_state[KEY] = key
    st.session_state[SESSION] = session_id
    st.session_state[TICKET] = ticket
    st.session_state.pop(NOTE, None)


def sign_out(note: str | None = None) -> None:
    """Forget the key here and for this browser; `note` tells the sign-in form why it was not the viewer's wish."""
    session_id = st.session_state.get(SESSION)
    if session_id:
        sessions.close(session_id)
        drafts.forget(session_id)
    st.session_state.clear()
    if note:
        st.session_state[NOTE] = note
    elif identity.known():
        st.logout()


def client() -> Client:
    return Client(connections(), key=st.session_state[KEY])


def zone() -> ZoneInfo:
    """The viewer's zone, UTC where the browser does not tell one we know."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def address(name: str) -> str | None:
    """The id that the address carries under `name`: `?job=ftjob-…`."""
    return st.query_params.get(name) or None
