"""Verifiers: list, and the editor (`?verifier=ver-…` or `?verifier=new`)."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json, VerifierObject
from frontend.app_pages.verifiers import difference, gallery, score_rows, self_check, try_out
from frontend.app_pages.verifiers import editor as verifier_editor
from frontend.components import rights
from frontend.session import drafts, state
from frontend.widgets import browser_title, links, problems
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.verifier_kinds import KINDS

NEW = "new"
PAGE = 50
SAVED, OPENED = "verifier_saved", "verifier_opened"


def listing(client: Client, *, zone: ZoneInfo) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Verifiers", anchor=False, width="stretch")
        if rights.button(client, "New verifier", type="primary", icon=":material/add:"):
            st.switch_page("app_pages/verifiers/page.py", query_params={"verifier": NEW})
    st.write("A verifier scores the model's answers. Training follows these scores.")
    page = client.verifiers(after=state.address("after"), limit=PAGE)
    saved: list[VerifierObject] = page["data"]
    if not saved:
        st.info("No verifiers yet. Start from a template and test it on a row of your data.", icon=":material/inbox:")
    for verifier in saved:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{verifier['id']}"):
            with st.container(width="stretch", gap=None):
                links.within(
                    "app_pages/verifiers/page.py",
                    f"**{plain(verifier['name'])}**",
                    icon=":material/fact_check:",
                    key=f"open_{verifier['id']}",
                    verifier=verifier["id"],
                )
                st.caption(f"saved {units.moment(verifier['created_at'], zone)}")
            kind = str(verifier["grader"]["type"])
            st.badge(KINDS.get(kind, kind), color="gray")
            st.caption(f"version {verifier['version']}", width="content")
    if state.address("after"):
        links.within("app_pages/verifiers/page.py", "Newest", icon=":material/first_page:", key="newest")
    if page["has_more"]:
        older = saved[-1]["id"]
        links.within("app_pages/verifiers/page.py", "Older", icon=":material/chevron_right:", key="older", after=older)
    gallery.show(client, client.ready_made_verifiers())


def editor(client: Client, chosen: str, *, zone: ZoneInfo) -> None:
    links.within("app_pages/verifiers/page.py", "All verifiers", icon=":material/arrow_back:", key="all_verifiers")
    newest = None if chosen == NEW else client.verifier(chosen)
    saved = None if newest is None else opened_version(newest)
    name = saved["name"] if saved else "New verifier"
    st.title(plain(name), anchor=False)
    browser_title.show(name)
    if st.session_state.pop(SAVED, False):
        st.toast("Saved.", icon=":material/check_circle:")
    draft = f"verifier {chosen} {state.address('start') or ''}".strip()  # a template that was chosen is a new draft
    drafts.restore(draft)
    write, try_it = st.columns([1.45, 1], gap="large")
    with write:
        if saved:
            grader, key = versions(client, saved, zone=zone)
        else:
            grader, key = starting_point(client)
        name = st.text_input(
            "Name", value=saved["name"] if saved else "", placeholder="invoice total", key=f"{chosen}_name"
        )
        other_fields = drafts.fields()
        edited = verifier_editor.fields(client, grader, key=key)
        drafts.keep(draft, other_fields | verifier_editor.written(key))
        save(client, newest, name=name.strip(), grader=edited, draft=draft)
    with try_it:
        try_out.panel(client, edited)
    score_rows.panel(client, edited)
    self_check.panel(client, edited, verifier=chosen)


def opened_version(newest: VerifierObject) -> VerifierObject:
    """Return the newest version at the opening of the page, so that a draft survives other people's saves."""
    kept: VerifierObject | None = st.session_state.get(OPENED)
    if kept is None or kept["id"] != newest["id"]:
        kept = newest
    if kept["version"] < newest["version"]:
        st.warning(
            f"Version {newest['version']} was saved meanwhile. Your draft below is based on version {kept['version']}; "
            "saving it replaces both.",
            icon=":material/group:",
        )
        show = {OPENED: newest}
        st.button(
            "Show newest version",
            key="show_newest",
            icon=":material/update:",
            on_click=st.session_state.update,
            args=(show,),
        )
    st.session_state[OPENED] = kept
    return kept


def starting_point(client: Client) -> tuple[Json, str]:
    starts = {start["name"]: start for start in client.ready_made_verifiers()}
    requested = next((name for name, start in starts.items() if start["id"] == state.address("start")), None)
    chosen = starts[
        st.selectbox(
            "Start from",
            list(starts),
            index=list(starts).index(requested) if requested else 0,
            key="start_from",
            help="Choosing another template replaces your draft below.",
        )
    ]
    st.caption(chosen["use"])
    return chosen["grader"], f"new_{chosen['id']}"


def versions(client: Client, saved: VerifierObject, *, zone: ZoneInfo) -> tuple[Json, str]:
    """Return the grader to edit, of the newest or a chosen older version, and the key of its draft."""
    if saved["version"] == 1:
        st.caption(
            f"Version 1, saved {units.moment(saved['created_at'], zone)}. Saving creates a new version; existing jobs "
            "keep theirs."
        )
        return saved["grader"], f"edit_{saved['id']}_1"
    every = sorted(
        (each for each in client.verifier_versions(saved["id"])["data"] if each["version"] <= saved["version"]),
        key=lambda version: version["version"],
        reverse=True,
    )
    labels = {v["version"]: f"version {v['version']}, {units.moment(v['created_at'], zone)}" for v in every}
    number = st.selectbox(
        "Version", list(labels), format_func=labels.__getitem__, key=f"version_{saved['id']}_{saved['version']}"
    )
    difference.panel(every, number=number)
    spec = next(version["grader"] for version in every if version["version"] == number)
    return spec, f"edit_{saved['id']}_{number}"


def save(client: Client, newest: VerifierObject | None, *, name: str, grader: Json, draft: str) -> None:
    label = f"Save as version {newest['version'] + 1}" if newest else "Save"
    if not rights.button(client, label, type="primary", icon=":material/save:", key="save_verifier"):
        return
    if not name:
        st.error("Enter a name for the verifier.", icon=":material/error:")
        return
    try:
        if newest:
            stored = client.add_verifier_version(newest["id"], name=name, grader=grader)
        else:
            stored = client.create_verifier(name=name, grader=grader)
    except ApiError as error:
        problems.show(error, title="The verifier was not saved")
        return
    st.session_state[SAVED] = True
    st.session_state[OPENED] = stored
    drafts.forget(draft)
    st.switch_page("app_pages/verifiers/page.py", query_params={"verifier": stored["id"]})


def page() -> None:
    client, zone = state.client(), state.zone()
    selected = state.address("verifier")
    if selected:
        editor(client, selected, zone=zone)
    else:
        listing(client, zone=zone)


if __name__ == "__main__":
    page()
