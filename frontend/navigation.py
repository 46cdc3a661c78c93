"""What every page run begins with: the sign-in gate, the menu, the guard around the page."""

from pathlib import Path

import streamlit as st

from frontend.components import rights
from frontend.session import state
from frontend.shell import menu, sign_in
from frontend.widgets import problems

HERE = Path(__file__).parent
# Streamlit (1.67) takes its page away ("Bad delta path index") where a broken connection has swallowed a part of it.
LOAD_AGAIN = """<script>
window.rlsdWatch ??= setInterval(() => document.querySelector('[data-testid="stApp"]') || location.reload(), 2000);
</script>"""

st.set_page_config(page_title="RLSD Workbench", page_icon=str(HERE / "logo_small.svg"), layout="wide")
st.html(HERE / "style.css")

home = st.Page("pages/home/page.py", title="Home", icon=":material/home:", default=True)
datasets = st.Page("pages/datasets/page.py", url_path="datasets", title="Datasets", icon=":material/table_rows:")
verifiers = st.Page("pages/verifiers/page.py", url_path="verifiers", title="Verifiers", icon=":material/fact_check:")
new_job = st.Page("pages/new_job/page.py", url_path="new_job", title="New job", icon=":material/add_circle:")
jobs = st.Page("pages/jobs/page.py", url_path="jobs", title="Jobs", icon=":material/list_alt:")
job = st.Page("pages/job/page.py", url_path="job", title="Job", icon=":material/show_chart:", visibility="hidden")
compare = st.Page("pages/compare/page.py", url_path="compare", title="Compare", icon=":material/compare_arrows:")
models = st.Page("pages/models/page.py", url_path="models", title="Models", icon=":material/deployed_code:")
playground = st.Page("pages/playground/page.py", url_path="playground", title="Playground", icon=":material/forum:")
settings = st.Page("pages/settings/page.py", url_path="settings", title="Settings", icon=":material/settings:")

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
    st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "logo_small.svg")
    with st.sidebar:
        st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out", on_click=state.sign_out)
        menu.enter_anew(page)
        st.html(LOAD_AGAIN, unsafe_allow_javascript=True)
    with problems.page_guard():
        page.run()
    with st.sidebar:
        rights.say()
    sign_in.keep_signed_in()
else:
    sign_in.form()
