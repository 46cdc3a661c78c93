"""People who sign in through the organisation's identity provider, by e-mail address and role."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import MemberObject, Whoami
from frontend.app_pages.settings import roles
from frontend.widgets import actions, paging
from frontend.words import units
from frontend.words.markdown import address, plain

PAGE = 50
WITHOUT_PROVIDER = (
    "People can sign in with their e-mail address if the organisation has an identity provider (OpenID Connect: "
    "Microsoft Entra, Okta, Keycloak, Google …). None is set up here, so an address on this list has no effect yet, "
    "and people sign in with keys. To set one up, the operator of the server sets `RLSD_OIDC_ISSUER` and "
    "`RLSD_OIDC_AUDIENCE`; see docs/people.md."
)


def panel(client: Client, *, who: Whoami, zone: ZoneInfo) -> None:
    page = client.members(after=paging.after(), limit=PAGE)
    if who["identity_provider"] is None:
        st.info(WITHOUT_PROVIDER, title="Sign-in by e-mail is not set up", icon=":material/id_card:")
    else:
        st.caption(
            f"{who['identity_provider']} authenticates people. This list decides who may sign in, and their role."
        )
    with st.expander("Add a member", icon=":material/person_add:", key=f"{actions.form_key('new_member')}_part"):
        _form(client, project=who["project"]["name"])
    members: list[MemberObject] = page["data"]
    if not members:
        st.info("There are no members yet.", icon=":material/inbox:")
    for member in members:
        _row(client, member, own=member["id"] == who["id"], zone=zone)
    paging.turn(page, first="First", further="Next")


def _form(client: Client, *, project: str) -> None:
    prefix = actions.form_key("new_member")
    with st.form("new_member_form", border=False):
        email = st.text_input(
            "E-mail address",
            key=f"{prefix}_email",
            type="email",
            max_chars=200,
            placeholder="ada@example.org",
            help="As registered at the identity provider. A person belongs to one project.",
        )
        role = roles.menu(key=f"{prefix}_role", chosen="viewer")
        submitted = st.form_submit_button("Add", type="primary", icon=":material/person_add:")
    if not submitted:
        return
    written = (email or "").strip()
    if "@" not in written:
        st.error("This is not an e-mail address: it has no @.", icon=":material/error:")
        return
    actions.carry_out(
        lambda: client.set_member(written, role=role),
        done=f"{address(written)} is now {role} of “{plain(project)}”.",
        failed="The member was not added",
        form="new_member",
    )


def _row(client: Client, member: MemberObject, *, own: bool, zone: ZoneInfo) -> None:
    email = member["id"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{email}"):
        with st.container(width="stretch", gap=None):
            st.markdown(f":material/person: {address(email)}")
            st.caption(f"member since {units.moment(member['created_at'], zone)}")
        if own:
            st.badge("You", color="primary")
        roles.badge(member["role"])
        if own:
            return
        with st.popover("Change", icon=":material/edit:", type="tertiary", key=f"change_{email}"):
            role = roles.menu(key=f"role_{email}_{member['role']}", chosen=member["role"])
            if st.button("Save role", type="primary", icon=":material/save:", key=f"save_{email}"):
                actions.carry_out(
                    lambda: client.set_member(email, role=role),
                    done=f"{address(email)} is now {role}.",
                    failed="The role was not changed",
                )
        if actions.confirmed(
            "Remove",
            icon=":material/person_remove:",
            warning=f"{address(email)} loses access immediately. Everything they created stays.",
            button="Remove now",
            key=f"remove_{email}",
        ):
            actions.carry_out(
                lambda: client.remove_member(email),
                done=f"{address(email)} was removed.",
                failed="The member was not removed",
            )
