"""Settings: people, keys, limits, the audit log, webhooks and workers (`?section=Keys`)."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Whoami
from frontend.app_pages.settings import audit, keys, members, projects, webhooks, workers, you
from frontend.session import state
from frontend.widgets import actions, paging, tabs
from frontend.words.markdown import plain

YOU, KEYS, PEOPLE, PROJECTS = "You", keys.SECTION, "People", projects.SECTION
AUDIT, WEBHOOKS, WORKERS = "Audit", webhooks.SECTION, "Workers"
FORBIDDEN = 403
WHAT_IT_IS = {
    YOU: "Your account on this server, and the limits of your project.",
    KEYS: "People and programs sign in with keys. The role of a key decides what it may do.",
    PEOPLE: "Who may sign in with their e-mail address, and with which role.",
    PROJECTS: "Projects share this server without seeing each other's work. Each has its own limits.",
    AUDIT: "Who changed what in this project, when, and from where.",
    WEBHOOKS: "Webhooks notify your other programs when a job has ended.",
    WORKERS: "The processes that read files, run checks, train and answer.",
}
BY_ADMINS = {
    KEYS: "Only the admins of a project can create and revoke keys.",
    PEOPLE: "Only the admins of a project can decide who may sign in.",
    AUDIT: "Only the admins of a project can read the audit log.",
    WEBHOOKS: "Only the admins of a project can create webhooks.",
    PROJECTS: "Only the administrators of the server, who are the admins of its first project, can create projects and "
    "set their limits. “You” shows the usage of your own project.",
}


def show(client: Client, section: str, *, who: Whoami, zone: ZoneInfo) -> None:
    if section == YOU:
        you.panel(who)
    elif section == KEYS:
        keys.panel(client, who=who, zone=zone)
    elif section == PEOPLE:
        members.panel(client, who=who, zone=zone)
    elif section == PROJECTS:
        projects.panel(client, zone=zone)
    elif section == AUDIT:
        audit.panel(client, zone=zone)
    elif section == WEBHOOKS:
        webhooks.panel(client, zone=zone)
    else:
        workers.panel(client, zone=zone)


def denied(section: str, *, who: Whoami) -> None:
    st.info(
        f"{BY_ADMINS[section]} Your role in “{plain(who['project']['name'])}” is {who['role']}. Ask an admin for help.",
        title="Your role has no access",
        icon=":material/lock:",
    )


def page() -> None:
    client, zone = state.client(), state.zone()
    st.title("Settings", anchor=False)
    who = client.whoami()
    chosen = tabs.choice("Section", list(WHAT_IT_IS), of="settings", key="section", on_change=paging.to_first)
    st.write(WHAT_IT_IS[chosen])
    actions.announce()
    try:
        show(client, chosen, who=who, zone=zone)
    except ApiError as error:
        if error.status != FORBIDDEN or chosen not in BY_ADMINS:
            raise
        denied(chosen, who=who)


if __name__ == "__main__":
    page()
