"""What the viewer's role lets them do here, so that a button says so before it is pressed."""

import streamlit as st

from frontend.client import Client
from frontend.client.people import Role

KEPT = "own_role"
ONLY_LOOKS = (
    "Your role is viewer: it looks at everything and changes nothing. An admin of your project can make you an editor."
)


def refusal(client: Client) -> str | None:
    """Why somebody may only look, as the help of a disabled button; None for those who may change things."""
    role: Role | None = st.session_state.get(KEPT)
    if role is None:
        role = client.whoami()["role"]
        st.session_state[KEPT] = role
    return ONLY_LOOKS if role == "viewer" else None
