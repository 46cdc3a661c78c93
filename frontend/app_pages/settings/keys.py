"""Keys of the project: created with a role and an expiry, shown once, revoked immediately."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import KeyObject, Role, Whoami
from frontend.app_pages.settings import roles, secret
from frontend.widgets import actions, paging
from frontend.words import units
from frontend.words.markdown import plain

PAGE = 20
SECTION = "Keys"
EXPIRIES: dict[int | None, str] = {7: "7 days", 30: "30 days", 90: "90 days", 365: "1 year", None: "No expiry"}
STATUS = {"expired": "Expired", "revoked": "Revoked"}
NOTE = "Give it to one person or one program. In programs, pass it as `api_key` to the OpenAI client."


def panel(client: Client, *, who: Whoami, zone: ZoneInfo) -> None:
    page = client.keys(after=paging.after(), limit=PAGE)
    secret.show(SECTION)
    with st.expander("New key", icon=":material/add:", key=f"{actions.form_key('new_key')}_part"):
        form(client, key="new_key", section=SECTION, role="editor", project_id=None, project=who["project"]["name"])
    st.caption("Use one key per person and per program, so that you can revoke one without affecting the others.")
    keys: list[KeyObject] = page["data"]
    if not keys:
        st.info("No keys here.", icon=":material/inbox:")
    for key in keys:
        _row(client, key, own=key["id"] == who["id"], zone=zone)
    paging.turn(page, first="Newest", further="Older")


def form(client: Client, *, key: str, section: str, role: Role, project_id: str | None, project: str) -> None:
    """Show the form of a new key; for another project if `project_id` is given."""
    prefix = actions.form_key(key)
    with st.form(f"{key}_form", border=False):
        name = st.text_input(
            "Name",
            key=f"{prefix}_name",
            max_chars=100,
            placeholder="Ada, nightly pipeline",
            help="Who or what uses the key. The audit log shows this name.",
        )
        chosen = roles.menu(key=f"{prefix}_role", chosen=role)
        days = st.selectbox(
            "Valid for",
            list(EXPIRIES),
            index=2,
            format_func=EXPIRIES.__getitem__,
            key=f"{prefix}_days",
            help="After this time the key stops working, which limits the damage if it is lost.",
        )
        submitted = st.form_submit_button("Create key", type="primary", icon=":material/key:", key=f"{key}_make")
    if not submitted:
        return
    if not name or not name.strip():
        st.error("Enter a name for the key: who or what will use it?", icon=":material/error:")
        return
    named = name.strip()

    def make() -> None:
        made = client.create_key(name=named, role=chosen, expires_in_days=days, project_id=project_id)
        title = f"Key “{plain(named)}”, {chosen} of “{plain(project)}”"
        secret.keep(title, made["secret"], section=section, note=NOTE)

    actions.carry_out(make, done="Key created. Copy it now.", failed="The key was not created", form=key)


def _row(client: Client, key: KeyObject, *, own: bool, zone: ZoneInfo) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{key['id']}"):
        with st.container(width="stretch", gap=None):
            st.markdown(f":material/key: **{plain(key['name'])}** · `{key['prefix']}…`")
            st.caption(_times(key, zone))
        if own:
            st.badge(
                "Yours",
                icon=":material/person:",
                color="primary",
                help="A key cannot revoke itself. Sign in with another key.",
            )
        roles.badge(key["role"])
        if key["status"] != "valid":
            st.badge(STATUS[key["status"]], color="red" if key["status"] == "revoked" else "orange")
        elif not own and actions.confirmed(
            "Revoke",
            icon=":material/key_off:",
            warning=f"Requests with “{plain(key['name'])}” are refused immediately. This cannot be undone.",
            button="Revoke now",
            key=f"revoke_{key['id']}",
        ):
            actions.carry_out(
                lambda: client.revoke_key(key["id"]),
                done=f"Key “{plain(key['name'])}” revoked.",
                failed="The key was not revoked",
            )


def _times(key: KeyObject, zone: ZoneInfo) -> str:
    used = key["last_used_at"]
    parts = [
        f"created {units.moment(key['created_at'], zone)}",
        "never used" if used is None else f"last used {units.moment(used, zone)}",
    ]
    if key["revoked_at"] is not None:
        parts.append(f"revoked {units.moment(key['revoked_at'], zone)}")
    elif key["expires_at"] is None:
        parts.append("no expiry")
    else:
        ends = "expired" if key["status"] == "expired" else "valid until"
        parts.append(f"{ends} {units.moment(key['expires_at'], zone)}")
    return " · ".join(parts)
