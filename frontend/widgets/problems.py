"""Failed API calls as error messages: the API's sentence, what to do, and the request id to quote."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from frontend.api import ApiError
from frontend.session import kept_fields, state
from frontend.words.field_names import in_form_words
from frontend.words.job_settings import label_of
from frontend.words.markdown import sentence

SIGNED_OUT = "Your key is no longer valid. Sign in with another one."


def show(error: ApiError, *, title: str = "The request failed") -> None:
    """Show an error. A key that is no longer valid leads back to the sign-in form."""
    if error.signed_out:
        state.sign_out(SIGNED_OUT)
        st.rerun()
    title = "The service is not responding" if error.status == 0 else title
    message, label = in_form_words(error.message), label_of(error.param)
    st.error(sentence(message), title=title, icon=":material/error:")
    notes = [f"“{label}”"] if label is not None and label not in message else []
    if error.request_id and error.status >= 500:
        notes.append(f"request `{error.request_id}`")
    if notes:
        st.caption("Where: " + ", ".join(notes))


@contextmanager
def shown() -> Iterator[None]:
    """Show the block's ApiError in place."""
    try:
        yield
    except ApiError as error:
        show(error)


@contextmanager
def page_guard() -> Iterator[None]:
    """Show an ApiError of the page, and offer to try again."""
    kept_fields.restore()
    try:
        yield
    except ApiError as error:
        show(error, title="Not found" if error.status == 404 else "This page could not be loaded")
        with st.container(horizontal=True):
            if error.status != 404 and st.button("Try again", icon=":material/refresh:", key="try_again"):
                st.rerun()
            st.page_link("app_pages/home/page.py", label="Home", icon=":material/home:")
        kept_fields.keep()
