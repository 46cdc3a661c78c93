"""The signed-in user, their role, and their project's usage."""

import streamlit as st

from frontend.api.types import Whoami
from frontend.app_pages.settings import quotas, roles
from frontend.words.markdown import address, plain
from frontend.words.settings import ROLES


def panel(who: Whoami) -> None:
    project = who["project"]
    by_mail = "@" in who["id"]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(address(who["name"]) if by_mail else plain(who["name"]), anchor=False, width="content")
            roles.badge(who["role"])
        if by_mail:
            st.write(f"You signed in as {address(who['id'])} through {address(str(who['identity_provider']))}.")
        else:
            st.write(f"You signed in with the key “{plain(who['name'])}”. Anyone who has this key can act as you.")
        st.write(
            f"In the project **{plain(project['name'])}** your role is **{who['role']}**. This role "
            f"{ROLES[who['role']]}."
        )
        st.caption(
            f"{'Address' if by_mail else 'Key'} `{who['id']}`, project `{project['id']}`. Other projects cannot see "
            "anything in this one."
        )
    st.subheader("Project usage", anchor=False)
    usage = project["usage"]
    if usage is not None:
        quotas.against_limits(usage, project["quotas"])
    st.caption("The administrators of the server set the limits, under “Projects and quotas”.")
