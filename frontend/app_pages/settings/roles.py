"""The role of a key or a person: badge and menu."""

import streamlit as st

from frontend.api.types import Role
from frontend.words.settings import ROLES

HELP = "\n".join(f"- **{role}**: {rights}" for role, rights in ROLES.items())


def badge(role: Role) -> None:
    st.badge(role, icon=":material/shield_person:", color="violet" if role == "admin" else "gray")


def menu(*, key: str, chosen: Role) -> Role:
    roles = list(ROLES)
    return st.selectbox("Role", roles, index=roles.index(chosen), key=key, help=HELP)
