"""Ways from a page to another view of the same page: the address has to change with it.

`st.page_link` to the page that is open leaves the address as it is (Streamlit 1.67), so that the next click would show
the view before; a button with `st.switch_page` does not.
"""

import streamlit as st


def within(
    page: str, label: str, *, icon: str, key: str, disabled: bool = False, help: str | None = None, **query: str
) -> None:
    """A link-like button to `page` with this query in its address."""
    if st.button(label, icon=icon, key=key, type="tertiary", disabled=disabled, help=help):
        st.switch_page(page, query_params=query)
