"""The menu's link to the page that is already open: it leads back to the page as it begins.

Streamlit (1.67) leaves the address as it is when such a link is pressed, so that an open dataset would stay open. A
small listener tells of the press, and the page is then entered anew without what its address named.
"""

import streamlit as st
from streamlit.navigation.page import Page

LISTEN = """
export default function ({ setTriggerValue }) {
  document.removeEventListener("click", window.rlsdMenuListener, true);
  window.rlsdMenuListener = (event) => {
    const link = event.target.closest?.('[data-testid="stSidebarNavLink"]');
    if (!link || !location.search || new URL(link.href).pathname !== location.pathname) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    setTriggerValue("pressed", true);
  };
  document.addEventListener("click", window.rlsdMenuListener, true);
}
"""

_listen = st.components.v2.component("rlsd_menu", js=LISTEN)


def enter_anew(page: Page) -> None:
    """Where the link to the open page was pressed, go to it without an address."""
    if _listen(key="menu_listener", on_pressed_change=lambda: None).pressed:
        st.switch_page(page, query_params={})  # without, Streamlit (1.67) refuses to drop what is bound to widgets
