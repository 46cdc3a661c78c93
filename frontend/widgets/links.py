"""Links from a page to another view of the same page, which change the address.

`st.page_link` to the open page does not change the address (Streamlit 1.67), so the next click would show the previous
view; a button with `st.switch_page` does.
"""

import streamlit as st


def within(
    page: str, label: str, *, icon: str, key: str, disabled: bool = False, help: str | None = None, **query: str
) -> None:
    """Show a link-like button to `page` with this query."""
    if st.button(label, icon=icon, key=key, type="tertiary", disabled=disabled, help=help):
        st.switch_page(page, query_params=query)
