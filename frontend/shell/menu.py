"""The menu link to the page that is already open: it leads to that page without a query.

Streamlit (1.67) does not change the address when such a link is clicked, so an open dataset would stay open. A small
listener reports the click, and the page is then opened again without its query.
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


def reopen(page: Page) -> None:
    """Open the page without a query if its menu link was clicked."""
    if _listen(key="menu_listener", on_pressed_change=lambda: None).pressed:
        st.switch_page(page, query_params={})  # without, Streamlit (1.67) refuses to drop what is bound to widgets


def mark(page: Page) -> None:
    """Mark the link to a page as that of the open one, which has no link of its own."""
    st.html(
        f"""<style>[data-testid="stSidebarNavLink"][href$="/{page.url_path}"] {{
          background: color-mix(in srgb, currentColor 12%, transparent); font-weight: 600; }}</style>"""
    )
