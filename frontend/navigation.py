"""Entry point of every page run: the sign-in gate, the menu, the error handling around the page."""

from pathlib import Path

import streamlit as st

from frontend.components import rights
from frontend.session import state
from frontend.shell import menu, sign_in
from frontend.widgets import browser_title, problems

HERE = Path(__file__).parent
# Streamlit (1.67) blanks the page ("Bad delta path index") if a broken connection lost a part of it: reload it then.
RELOAD = """<script>
window.rlsdWatch ??= setInterval(() => document.querySelector('[data-testid="stApp"]') || location.reload(), 2000);
</script>"""

st.set_page_config(page_title=browser_title.PRODUCT, page_icon=str(HERE / "logo_small.svg"), layout="wide")
st.html(HERE / "style.css")

home = st.Page("app_pages/home/page.py", title="Home", icon=":material/home:", default=True)
datasets = st.Page("app_pages/datasets/page.py", url_path="datasets", title="Datasets", icon=":material/table_rows:")
verifiers = st.Page(
    "app_pages/verifiers/page.py", url_path="verifiers", title="Verifiers", icon=":material/fact_check:"
)
new_job = st.Page("app_pages/new_job/page.py", url_path="new_job", title="New job", icon=":material/add_circle:")
jobs = st.Page("app_pages/jobs/page.py", url_path="jobs", title="Jobs", icon=":material/list_alt:")
job = st.Page("app_pages/job/page.py", url_path="job", title="Job", icon=":material/show_chart:", visibility="hidden")
compare = st.Page("app_pages/compare/page.py", url_path="compare", title="Compare", icon=":material/compare_arrows:")
models = st.Page("app_pages/models/page.py", url_path="models", title="Models", icon=":material/deployed_code:")
playground = st.Page("app_pages/playground/page.py", url_path="playground", title="Playground", icon=":material/forum:")
settings = st.Page("app_pages/settings/page.py", url_path="settings", title="Settings", icon=":material/settings:")

is_signed_in = state.signed_in()
page = st.navigation(
    {
        "": [home],
        "Prepare": [datasets, verifiers],
        "Train": [new_job, jobs, job, compare],
        "Use": [models, playground],
        "Manage": [settings],
    },
    position="sidebar" if is_signed_in else "hidden",
)

if is_signed_in:
    browser_title.show(page.title)
    st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "logo_small.svg")
    with st.sidebar:
        st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out", on_click=state.sign_out)
        menu.reopen(page)
        if page == job:
            menu.mark(jobs)
        st.html(RELOAD, unsafe_allow_javascript=True)
    with problems.page_guard():
        page.run()
    with st.sidebar:
        rights.show_note()
    sign_in.keep_signed_in()
else:
    sign_in.form()
