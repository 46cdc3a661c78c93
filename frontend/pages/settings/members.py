"""People who sign in through the organisation's identity provider, by e-mail address and role."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.organisation import Member, Whoami
from frontend.pages.settings import roles
from frontend.widgets import actions, paging
from frontend.words import units
from frontend.words.markdown import address, plain

PAGE = 50
WITHOUT_PROVIDER = (
    "People sign in with their e-mail address where the organisation has an identity provider (OpenID Connect: "
    "Microsoft Entra, Okta, Keycloak, Google …). None is set up here: an address on this list opens nothing yet, and "
    "keys are the way in. Whoever runs the server sets `RLSD_OIDC_ISSUER` and `RLSD_OIDC_AUDIENCE`; docs/people.md "
    "says how."
)


def panel(client: Client, *, who: Whoami, zone: ZoneInfo) -> None:
    page = client.members(after=paging.after(), limit=PAGE)
    if who["identity_provider"] is None:
        st.info(WITHOUT_PROVIDER, title="Sign-in by e-mail is not set up", icon=":material/id_card:")
    else:
        st.caption(f"{who['identity_provider']} says who somebody is; this list says what they may.")
    with st.expander("Let somebody in", icon=":material/person_add:", key=f"{actions.fresh('new_member')}_part"):
        _form(client, project=who["project"]["name"])
    members: list[Member] = page["data"]
    if not members:
        st.info("Nobody is on the list yet.", icon=":material/inbox:")
    for member in members:
        _row(client, member, own=member["id"] == who["id"], zone=zone)
    paging.turn(page, first="First", further="Further")


def _form(client: Client, *, project: str) -> None:
    fresh = actions.fresh("new_member")
    with st.form("new_member_form", border=False):
        email = st.text_input(
            "E-mail address",
            key=f"{fresh}_email",
            type="email",
            max_chars=200,
            placeholder="ada@example.org",
            help="As the identity provider knows it. A person belongs to one project.",
        )
        role = roles.menu(key=f"{fresh}_role", chosen="viewer")
        asked = st.form_submit_button("Let in", type="primary", icon=":material/person_add:")
    if not asked:
        return
    written = (email or "").strip()
    if "@" not in written:
        st.error("That is no e-mail address: it needs an @.", icon=":material/error:")
        return
    actions.carry_out(
        lambda: client.let_in(written, role=role),
        done=f"{address(written)} is {role} of “{plain(project)}”.",
        failed="Not let in",
        form="new_member",
    )


def _row(client: Client, member: Member, *, own: bool, zone: ZoneInfo) -> None:
    email = member["id"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{email}"):
        with st.container(width="stretch", gap=None):
            st.markdown(f":material/person: {address(email)}")
            st.caption(f"on the list since {units.moment(member['created_at'], zone)}")
        if own:
            st.badge("You", color="primary")
        roles.badge(member["role"])
        if own:
            return
        with st.popover("Change", icon=":material/edit:", type="tertiary", key=f"change_{email}"):
            role = roles.menu(key=f"role_{email}_{member['role']}", chosen=member["role"])
            if st.button("Save the role", type="primary", icon=":material/save:", key=f"save_{email}"):
                actions.carry_out(
                    lambda: client.let_in(email, role=role),
                    done=f"{address(email)} is now {role}.",
                    failed="Not changed",
                )
        if actions.confirmed(
            "Remove",
            icon=":material/person_remove:",
            warning=f"{address(email)} is refused from this moment. What they made stays.",
            button="Remove now",
            key=f"remove_{email}",
        ):
            actions.carry_out(
                lambda: client.remove_member(email), done=f"{address(email)} is removed.", failed="Not removed"
            )
