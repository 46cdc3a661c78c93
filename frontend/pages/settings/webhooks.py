"""Addresses that are told when a job has ended: made, tried, and how every delivery went."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.organisation import Delivery, Webhook
from frontend.pages.settings import secret
from frontend.widgets import actions, paging, problems
from frontend.words import units
from frontend.words.markdown import address
from frontend.words.settings import EVENTS, delivery, event

PAGE = 20
SHOWN_DELIVERIES = 50
POLL_S = 4.0
SECTION = "Webhooks"
OPEN = "webhook"
NOTE = (
    "The receiver checks with it that a message came from here: the header `webhook-signature`, as Standard Webhooks "
    "(standardwebhooks.com) describes it. Libraries for most languages are found there."
)


def panel(client: Client, *, zone: ZoneInfo) -> None:
    page = client.webhooks(after=paging.after(), limit=PAGE)
    secret.show(SECTION)
    with st.expander("New webhook", icon=":material/add:", key=f"{actions.fresh('new_webhook')}_part"):
        _form(client)
    st.caption("When a job ends, each address is sent a signed message; the service tries for three days if it has to.")
    hooks: list[Webhook] = page["data"]
    if not hooks:
        st.info("No webhook yet.", icon=":material/inbox:")
    for hook in hooks:
        _one(client, hook, zone=zone)
    paging.turn(page, first="Newest", further="Older")


def _form(client: Client) -> None:
    fresh = actions.fresh("new_webhook")
    with st.form("new_webhook_form", border=False):
        url = st.text_input(
            "Address",
            key=f"{fresh}_url",
            max_chars=2000,
            placeholder="https://example.org/hooks/rlsd",
            help="Where your program listens. It has to answer with a status of 200 to 299 within 15 seconds.",
        )
        events = st.multiselect(
            "Tell when",
            list(EVENTS),
            default=list(EVENTS),
            format_func=EVENTS.__getitem__,
            key=f"{fresh}_events",
        )
        asked = st.form_submit_button("Make the webhook", type="primary", icon=":material/webhook:")
    if not asked:
        return
    written = (url or "").strip()
    if not written.startswith(("https://", "http://")):
        st.error("The address has to begin with https:// (or http:// inside your network).", icon=":material/error:")
    elif not events:
        st.error("Choose at least one event to be told of.", icon=":material/error:")
    else:

        def make() -> None:
            made = client.create_webhook(written, events=events)
            secret.keep(f"Signing secret of {address(written)}", made["secret"], section=SECTION, note=NOTE)

        actions.carry_out(make, done="The webhook is made.", failed="No webhook was made", form="new_webhook")


def _one(client: Client, hook: Webhook, *, zone: ZoneInfo) -> None:
    is_open = st.query_params.get(OPEN) == hook["id"]
    with st.container(border=True, key=f"row_{hook['id']}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                st.markdown(f":material/webhook: {address(hook['url'])}")
                told = ", ".join(event(name) for name in hook["events"])
                last = hook["last_delivery"]
                sent = "" if last is None else f" · last message {delivery(last)}"
                st.caption(f"told when {told} · made {units.moment(hook['created_at'], zone)}{sent}")
            if st.button("Send a test", icon=":material/send:", type="tertiary", key=f"test_{hook['id']}"):
                _test(client, hook)
            st.button(
                "Hide deliveries" if is_open else "Deliveries",
                icon=":material/history:",
                type="tertiary",
                key=f"deliveries_{hook['id']}",
                on_click=_show,
                args=(None if is_open else hook["id"],),
            )
            if actions.confirmed(
                "Delete",
                icon=":material/delete:",
                warning="Nothing more is sent to this address, and the log of its deliveries goes, too.",
                button="Delete now",
                key=f"delete_{hook['id']}",
            ):
                actions.carry_out(
                    lambda: client.delete_webhook(hook["id"]), done="The webhook is deleted.", failed="Not deleted"
                )
        if is_open:
            _deliveries(client, hook["id"], zone=zone)


def _test(client: Client, hook: Webhook) -> None:
    """Send one and open the log, where it is seen to arrive."""

    def send() -> None:
        client.test_webhook(hook["id"])
        _show(hook["id"])

    actions.carry_out(send, done="A test is on its way.", failed="Not sent")


def _show(webhook_id: str | None) -> None:
    if webhook_id is None:
        st.query_params.pop(OPEN, None)
    else:
        st.query_params[OPEN] = webhook_id


def _deliveries(client: Client, webhook_id: str, *, zone: ZoneInfo) -> None:
    """The log, looked at again while something is on its way."""
    found = client.deliveries(webhook_id, limit=SHOWN_DELIVERIES)
    waits = any(one["status"] == "pending" for one in found)
    if waits:
        st.fragment(_again, run_every=POLL_S)(client, webhook_id, zone)
    else:
        _table(found, zone)


def _again(client: Client, webhook_id: str, zone: ZoneInfo) -> None:
    with problems.shown():
        found = client.deliveries(webhook_id, limit=SHOWN_DELIVERIES)
        if not any(one["status"] == "pending" for one in found):
            st.rerun()
        _table(found, zone)


def _table(found: list[Delivery], zone: ZoneInfo) -> None:
    if not found:
        st.caption("Nothing was sent yet. Send a test to see whether the address answers.")
        return
    st.dataframe(
        [
            {
                "when": units.moment(one["created_at"], zone),
                "event": event(one["type"]),
                "about": one["about"],
                "how it went": delivery(one),
                "tries": one["attempts"],
                "answer": _answer(one),
                "next try": "" if one["next_at"] is None else units.moment(one["next_at"], zone),
            }
            for one in found
        ],
        hide_index=True,
        alt="Messages sent to this address, the newest first",
        column_config={"answer": st.column_config.TextColumn(width="large")},
    )


def _answer(one: Delivery) -> str:
    if one["error"] is not None:
        return one["error"]
    return "" if one["response_status"] is None else f"status {one['response_status']}"
