"""A paged list, with its position in the address (`?after=…`)."""

from typing import Any

import streamlit as st

from frontend.api.types import Page

AFTER = "after"


def after() -> str | None:
    return st.query_params.get(AFTER) or None


def to_first() -> None:
    """Go back to the first page, for another list or other filters."""
    st.query_params.pop(AFTER, None)


def turn(page: Page[Any], *, first: str, further: str) -> None:
    """Show the paging buttons below a list; none if all of it is shown."""
    if after() is None and not page["has_more"]:
        return
    with st.container(horizontal=True):
        if after() is not None:
            st.button(first, icon=":material/first_page:", type="tertiary", key="page_first", on_click=to_first)
        if page["has_more"]:
            st.button(
                further,
                icon=":material/chevron_right:",
                type="tertiary",
                key="page_further",
                on_click=st.query_params.__setitem__,
                args=(AFTER, page["last_id"]),
            )
