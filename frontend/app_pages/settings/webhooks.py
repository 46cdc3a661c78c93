"""Webhooks: addresses notified when a job has ended, with tests and the log of deliveries."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import DeliveryObject, WebhookObject
from frontend.app_pages.settings import secret
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
    "The receiver uses it to verify that a message came from this server, by the header `webhook-signature` of "
    "Standard Webhooks (standardwebhooks.com), which has libraries for most languages."
)


def panel(client: Client, *, zone: ZoneInfo) -> None:
    page = client.webhooks(after=paging.after(), limit=PAGE)
    secret.show(SECTION)
    with st.expander("New webhook", icon=":material/add:", key=f"{actions.form_key('new_webhook')}_part"):
        _form(client)
    st.caption("When a job ends, each address receives a signed message. Failed deliveries are retried for three days.")
    hooks: list[WebhookObject] = page["data"]
    if not hooks:
        st.info("No webhooks yet.", icon=":material/inbox:")
    for hook in hooks:
        _one(client, hook, zone=zone)
    paging.turn(page, first="Newest", further="Older")


def _form(client: Client) -> None:
    prefix = actions.form_key("new_webhook")
    with st.form("new_webhook_form", border=False):
        url = st.text_input(
            "Address",
            key=f"{prefix}_url",
            max_chars=2000,
            placeholder="https://example.org/hooks/rlsd",
            help="Where your program listens. It must respond with a status from 200 to 299 within 15 seconds.",
        )
        events = st.multiselect(
            "Notify when",
            list(EVENTS),
            default=list(EVENTS),
            format_func=EVENTS.__getitem__,
            key=f"{prefix}_events",
        )
        submitted = st.form_submit_button("Create webhook", type="primary", icon=":material/webhook:")
    if not submitted:
        return
    written = (url or "").strip()
    if not written.startswith(("https://", "http://")):
        st.error("The address must start with https:// (or http:// inside your network).", icon=":material/error:")
    elif not events:
        st.error("Choose at least one event.", icon=":material/error:")
    else:

        def make() -> None:
            made = client.create_webhook(written, events=events)
            secret.keep(f"Signing secret of {address(written)}", made["secret"], section=SECTION, note=NOTE)

        actions.carry_out(make, done="Webhook created.", failed="The webhook was not created", form="new_webhook")


def _one(client: Client, hook: WebhookObject, *, zone: ZoneInfo) -> None:
    is_open = st.query_params.get(OPEN) == hook["id"]
    with st.container(border=True, key=f"row_{hook['id']}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                st.markdown(f":material/webhook: {address(hook['url'])}")
                events = ", ".join(event(name) for name in hook["events"])
                last = hook["last_delivery"]
                sent = "" if last is None else f" · last delivery {delivery(last)}"
                st.caption(f"notified when {events} · created {units.moment(hook['created_at'], zone)}{sent}")
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
                warning="Nothing more is sent to this address. The log of its deliveries is deleted, too.",
                button="Delete now",
                key=f"delete_{hook['id']}",
            ):
                actions.carry_out(
                    lambda: client.delete_webhook(hook["id"]),
                    done="Webhook deleted.",
                    failed="The webhook was not deleted",
                )
        if is_open:
            _deliveries(client, hook["id"], zone=zone)


def _test(client: Client, hook: WebhookObject) -> None:
    """Send a test and open the log of deliveries."""

    def send() -> None:
        client.test_webhook(hook["id"])
        _show(hook["id"])

    actions.carry_out(send, done="Test sent.", failed="The test was not sent")


def _show(webhook_id: str | None) -> None:
    if webhook_id is None:
        st.query_params.pop(OPEN, None)
    else:
        st.query_params[OPEN] = webhook_id


def _deliveries(client: Client, webhook_id: str, *, zone: ZoneInfo) -> None:
    """Show the log of deliveries; poll it while one is pending."""
    found = client.deliveries(webhook_id, limit=SHOWN_DELIVERIES)
    if any(one["status"] == "pending" for one in found):
        st.fragment(_again, run_every=POLL_S)(client, webhook_id, zone)
    else:
        _table(found, zone)


def _again(client: Client, webhook_id: str, zone: ZoneInfo) -> None:
    with problems.shown():
        found = client.deliveries(webhook_id, limit=SHOWN_DELIVERIES)
        if not any(one["status"] == "pending" for one in found):
            st.rerun()
        _table(found, zone)


def _table(found: list[DeliveryObject], zone: ZoneInfo) -> None:
    if not found:
        st.caption("Nothing has been sent yet. Send a test to see whether the address responds.")
        return
    st.dataframe(
        [
            {
                "when": units.moment(one["created_at"], zone),
                "event": event(one["type"]),
                "about": one["about"],
                "result": delivery(one),
                "attempts": one["attempts"],
                "response": _response(one),
                "next attempt": "" if one["next_at"] is None else units.moment(one["next_at"], zone),
            }
            for one in found
        ],
        hide_index=True,
        alt="Deliveries to this address, the newest first",
        column_config={"response": st.column_config.TextColumn(width="large")},
    )


def _response(one: DeliveryObject) -> str:
    if one["error"] is not None:
        return one["error"]
    return "" if one["response_status"] is None else f"status {one['response_status']}"
