"""All projects of the server with their limits, for its administrators."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import ProjectObject, Quotas
from frontend.app_pages.settings import keys, quotas, secret
from frontend.widgets import actions, paging
from frontend.words import units
from frontend.words.markdown import plain

PAGE = 20
SECTION = "Projects and quotas"
UNLIMITED: Quotas = {"storage_bytes": None, "jobs_at_once": None, "gpu_hours": None}


def panel(client: Client, *, zone: ZoneInfo) -> None:
    page = client.projects(after=paging.after(), limit=PAGE)
    secret.show(SECTION)
    with st.expander("New project", icon=":material/add:", key=f"{actions.form_key('project_new')}_part"):
        _form(client, None)
    st.caption("A project has its own data, verifiers, jobs and people. Other projects cannot see them.")
    projects: list[ProjectObject] = page["data"]
    for project in projects:
        _one(client, project, zone=zone)
    paging.turn(page, first="First", further="Next")


def _one(client: Client, project: ProjectObject, *, zone: ZoneInfo) -> None:
    with st.container(border=True, key=f"row_{project['id']}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                st.markdown(f":material/folder_shared: **{plain(project['name'])}**")
                st.caption(f"`{project['id']}` · created {units.moment(project['created_at'], zone)}")
            with st.popover("Limits", icon=":material/tune:", type="tertiary", key=f"limits_{project['id']}"):
                _form(client, project)
            with st.popover("Key", icon=":material/key:", type="tertiary", key=f"key_{project['id']}"):
                st.caption("A key for the first admin of the project, who can then create the other keys.")
                keys.form(
                    client,
                    key=f"key_of_{project['id']}",
                    section=SECTION,
                    role="admin",
                    project_id=project["id"],
                    project=project["name"],
                )
        if project["usage"] is not None:
            quotas.against_limits(project["usage"], project["quotas"])


def _form(client: Client, project: ProjectObject | None) -> None:
    """Show the form of a project's name and limits; None: a new project."""
    form = f"project_{project['id'] if project else 'new'}"
    prefix = actions.form_key(form)
    with st.form(f"{form}_form", border=False):
        name = st.text_input(
            "Project name",
            value=project["name"] if project else "",
            max_chars=100,
            key=f"{prefix}_name",
            placeholder="claims department",
        )
        limits = quotas.fields(project["quotas"] if project else UNLIMITED, key=prefix)
        submitted = st.form_submit_button(
            "Save" if project else "Create project", type="primary", icon=":material/save:", key=f"{form}_save"
        )
    if not submitted:
        return
    named = (name or "").strip()
    if not named:
        st.error("Enter a name for the project.", icon=":material/error:")
    elif project:
        actions.carry_out(
            lambda: client.change_project(project["id"], name=named, quotas=limits),
            done=f"Project “{plain(named)}” saved.",
            failed="The project was not saved",
            form=form,
        )
    else:
        done = f"Project “{plain(named)}” created. Create a key for its first admin."
        actions.carry_out(
            lambda: client.create_project(name=named, quotas=limits),
            done=done,
            failed="The project was not created",
            form=form,
        )
