"""What the user's role allows, so that forbidden controls are disabled and say why."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api import Client
from frontend.api.types import Role
from frontend.widgets import links

KEPT = "own_role"
READ_ONLY = (
    "Your role is viewer: you can view everything but change nothing. An admin of your project can "
    "make you an editor; then reload this page."
)


def role(client: Client) -> Role:
    known: Role | None = st.session_state.get(KEPT)
    if known is None:
        known = client.whoami()["role"]
        st.session_state[KEPT] = known
    return known


def refusal(client: Client) -> str | None:
    """Return why the user may not change anything, as help of disabled controls; None if they may."""
    return READ_ONLY if role(client) == "viewer" else None


def show_note() -> None:
    """Show once why controls are disabled, readable without hovering; nothing while the role is unknown."""
    if st.session_state.get(KEPT) == "viewer":
        st.caption(READ_ONLY)


def button(client: Client, label: str, **shown: Any) -> bool:
    """Show a button; disabled, with the reason, for users who may not change anything."""
    pressed: bool = _draw(client, st.button, label, **shown)
    return pressed


def popover(client: Client, label: str, **shown: Any) -> DeltaGenerator:
    opened: DeltaGenerator = _draw(client, st.popover, label, **shown)
    return opened


def page_link(client: Client, page: str, *, label: str, icon: str, **shown: Any) -> None:
    """Show a link; for viewers a disabled button, since a disabled link (Streamlit 1.67) is not accessible."""
    refused = refusal(client)
    if refused is None:
        st.page_link(page, label=label, icon=icon, **shown)
    else:
        st.button(label, icon=icon, type="tertiary", disabled=True, help=refused)


def link_within(client: Client, page: str, label: str, **shown: Any) -> None:
    _draw(client, links.within, page, label, **shown)


def _draw(client: Client, draw: Callable[..., Any], *what: str, **shown: Any) -> Any:
    refused = refusal(client)
    if refused is not None:
        shown |= {"disabled": True, "help": refused}
    return draw(*what, **shown)
