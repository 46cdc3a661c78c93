"""All projects of the server with their limits, for its administrators; for others, what their own project uses."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.organisation import Project, Quotas
from frontend.pages.settings import keys, quotas, secret
from frontend.widgets import actions, paging
from frontend.words import units
from frontend.words.markdown import plain

PAGE = 20
SECTION = "Projects and quotas"
UNLIMITED: Quotas = {"storage_bytes": None, "jobs_at_once": None, "gpu_hours": None}


def panel(client: Client, *, zone: ZoneInfo) -> None:
    page = client.projects(after=paging.after(), limit=PAGE)
    secret.show(SECTION)
    with st.expander("New project", icon=":material/add:", key=f"{actions.fresh('project_new')}_part"):
        _form(client, None)
    st.caption("A project has its own data, verifiers, jobs and people, and sees nothing of the others.")
    projects: list[Project] = page["data"]
    for project in projects:
        _one(client, project, zone=zone)
    paging.turn(page, first="First", further="Further")


def _one(client: Client, project: Project, *, zone: ZoneInfo) -> None:
    with st.container(border=True, key=f"row_{project['id']}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                st.markdown(f":material/folder_shared: **{plain(project['name'])}**")
                st.caption(f"`{project['id']}` · made {units.moment(project['created_at'], zone)}")
            with st.popover("Limits", icon=":material/tune:", type="tertiary", key=f"limits_{project['id']}"):
                _form(client, project)
            with st.popover("Key", icon=":material/key:", type="tertiary", key=f"key_{project['id']}"):
                st.caption("How the first admin of a project comes in; they make the other keys themselves.")
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


def _form(client: Client, project: Project | None) -> None:
    """Name and limits: of a new project, or of one that is changed."""
    form = f"project_{project['id'] if project else 'new'}"
    fresh = actions.fresh(form)
    with st.form(f"{form}_form", border=False):
        name = st.text_input(
            "Project name",
            value=project["name"] if project else "",
            max_chars=100,
            key=f"{fresh}_name",
            placeholder="claims department",
        )
        limits = quotas.fields(project["quotas"] if project else UNLIMITED, key=fresh)
        asked = st.form_submit_button(
            "Save" if project else "Make the project", type="primary", icon=":material/save:", key=f"{form}_save"
        )
    if not asked:
        return
    named = (name or "").strip()
    if not named:
        st.error("Give the project a name first.", icon=":material/error:")
    elif project:
        actions.carry_out(
            lambda: client.change_project(project["id"], name=named, quotas=limits),
            done=f"“{plain(named)}” is saved.",
            failed="Not saved",
            form=form,
        )
    else:
        done = f"“{plain(named)}” is made. Make a key for its first admin."
        actions.carry_out(
            lambda: client.create_project(name=named, quotas=limits), done=done, failed="Not made", form=form
        )
