"""What the viewer's role lets them do here, so that a button says so before it is pressed."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.client import Client
from frontend.client.people import Role

KEPT = "own_role"
ONLY_LOOKS = (
    "Your role is viewer: it looks at everything and changes nothing. An admin of your project can make you an editor."
)


def refusal(client: Client) -> str | None:
    """Why somebody may only look, as the help of what is disabled; None for those who may change things."""
    role: Role | None = st.session_state.get(KEPT)
    if role is None:
        role = client.whoami()["role"]
        st.session_state[KEPT] = role
    return ONLY_LOOKS if role == "viewer" else None


def button(client: Client, label: str, **shown: Any) -> bool:
    """A button for those who may change things; for others it is disabled and says why."""
    pressed: bool = _unless_refused(client, st.button, label, **shown)
    return pressed


def popover(client: Client, label: str, **shown: Any) -> DeltaGenerator:
    opened: DeltaGenerator = _unless_refused(client, st.popover, label, **shown)
    return opened


def page_link(client: Client, page: str, **shown: Any) -> None:
    _unless_refused(client, st.page_link, page, **shown)


def _unless_refused(client: Client, draw: Callable[..., Any], what: str, **shown: Any) -> Any:
    refused = refusal(client)
    if refused is not None:
        shown |= {"disabled": True, "help": refused}
    return draw(what, **shown)
