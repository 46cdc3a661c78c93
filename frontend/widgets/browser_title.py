"""The title of the browser's tab: what the page is about, then the product."""

import streamlit as st

PRODUCT = "RLSD Workbench"


def show(name: str) -> None:
    st.set_page_config(page_title=f"{name} · {PRODUCT}")
