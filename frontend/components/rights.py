"""What the viewer's role lets them do here, so that what would be refused says so before it is pressed."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api import Client
from frontend.api.organisation import Role
from frontend.widgets import links

KEPT = "own_role"
ONLY_LOOKS = (
    "Your role is viewer: it looks at everything and changes nothing. An admin of your project can "
    "make you an editor; then load this page again."
)


def role(client: Client) -> Role:
    known: Role | None = st.session_state.get(KEPT)
    if known is None:
        known = client.whoami()["role"]
        st.session_state[KEPT] = known
    return known


def refusal(client: Client) -> str | None:
    """Why somebody may only look, as the help of what is disabled; None for those who may change things."""
    return ONLY_LOOKS if role(client) == "viewer" else None


def say() -> None:
    """The reason once for all that is disabled, where no pointer is needed to read it; nothing before it is known."""
    if st.session_state.get(KEPT) == "viewer":
        st.caption(ONLY_LOOKS)


def button(client: Client, label: str, **shown: Any) -> bool:
    """A button for those who may change things; for others it is disabled and says why."""
    pressed: bool = _draw(client, st.button, label, **shown)
    return pressed


def popover(client: Client, label: str, **shown: Any) -> DeltaGenerator:
    opened: DeltaGenerator = _draw(client, st.popover, label, **shown)
    return opened


def page_link(client: Client, page: str, *, label: str, icon: str, **shown: Any) -> None:
    """For others a button, since a link that is disabled (Streamlit 1.67) is neither marked so nor dark enough."""
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
