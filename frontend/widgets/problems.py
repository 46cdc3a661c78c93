"""How a failed call looks: the API's sentence, what to do, and the id to quote."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from frontend.api import ApiError
from frontend.session import kept_fields, state

SIGNED_OUT = "Your key is not accepted any more. Sign in with a valid one."


def show(error: ApiError, *, title: str = "That did not work") -> None:
    """Say what failed. A key that is no longer accepted leads back to the sign-in form."""
    if error.signed_out:
        state.sign_out(SIGNED_OUT)
        st.rerun()
    title = "The service does not answer" if error.status == 0 else title
    st.error(error.message, title=title, icon=":material/error:")
    field = error.param or ""
    notes = [f"field `{field}`"] if "." in field and field not in error.message else []
    if error.request_id and error.status >= 500:
        notes.append(f"request `{error.request_id}`")
    if notes:
        st.caption("Where: " + ", ".join(notes))


@contextmanager
def shown() -> Iterator[None]:
    """The block's ApiError is shown in its place."""
    try:
        yield
    except ApiError as error:
        show(error)


@contextmanager
def page_guard() -> Iterator[None]:
    """A page that cannot get what it needs says so and offers to try again."""
    kept_fields.fill()
    try:
        yield
    except ApiError as error:
        show(error, title="Not found" if error.status == 404 else "This page could not be loaded")
        with st.container(horizontal=True):
            if error.status != 404 and st.button("Try again", icon=":material/refresh:", key="try_again"):
                st.rerun()
            st.page_link("pages/home/page.py", label="Home", icon=":material/home:")
        kept_fields.keep()
