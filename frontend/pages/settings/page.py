"""Settings: people, keys, limits, the audit log, webhooks and workers (`?section=Keys`)."""

import streamlit as st

from frontend.api import ApiError
from frontend.pages.settings import audit, keys, members, projects, webhooks, workers, you
from frontend.session import state
from frontend.widgets import actions, paging, tabs
from frontend.words.markdown import plain

YOU, KEYS, PEOPLE, PROJECTS = "You", keys.SECTION, "People", projects.SECTION
AUDIT, WEBHOOKS, WORKERS = "Audit", webhooks.SECTION, "Workers"
FORBIDDEN = 403
WHAT_IT_IS = {
    YOU: "Who you are to this server, and what your project may use.",
    KEYS: "Keys let people and programs in. Each has a role, which says what it may do.",
    PEOPLE: "Who may sign in with their e-mail address, and as what.",
    PROJECTS: "Departments that share this server without seeing each other's work, and how much each may use.",
    AUDIT: "Who changed what in this project, when, and from where.",
    WEBHOOKS: "Your other programs are told when a job has ended, so that nobody has to watch.",
    WORKERS: "The processes that read files, check, train and answer.",
}
BY_ADMINS = {
    KEYS: "Keys are made and revoked by the admins of a project.",
    PEOPLE: "Who may sign in is decided by the admins of a project.",
    AUDIT: "The audit log is read by the admins of a project.",
    WEBHOOKS: "Webhooks are made by the admins of a project.",
    PROJECTS: "Projects are made, and their limits set, by the administrators of the server: the admins of its first "
    "project. What your own project uses stands under “You”.",
}

client, zone = state.client(), state.zone()


def show(section: str) -> None:
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


def denied(section: str) -> None:
    st.info(
        f"{BY_ADMINS[section]} Your role in “{plain(who['project']['name'])}” is "
        f"{who['role']}; ask an admin for what you need.",
        title="Not for your role",
        icon=":material/lock:",
    )


st.title("Settings", anchor=False)
who = client.whoami()
chosen = tabs.choice("Section", list(WHAT_IT_IS), key="section", on_change=paging.to_first)
st.write(WHAT_IT_IS[chosen])
actions.announce()
try:
    show(chosen)
except ApiError as error:
    if error.status != FORBIDDEN or chosen not in BY_ADMINS:
        raise
    denied(chosen)
