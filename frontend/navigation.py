"""What every page run begins with: the sign-in gate, the menu, the guard around the page."""

from pathlib import Path

import streamlit as st

from frontend import state
from frontend.components import menu, problems, rights, sign_in

HERE = Path(__file__).parent
# Streamlit (1.67) takes its page away ("Bad delta path index") where a broken connection has swallowed a part of it.
LOAD_AGAIN = """<script>
window.rlsdWatch ??= setInterval(() => document.querySelector('[data-testid="stApp"]') || location.reload(), 2000);
</script>"""

st.set_page_config(page_title="RLSD Workbench", page_icon=str(HERE / "logo_small.svg"), layout="wide")
st.html(HERE / "style.css")

home = st.Page("app_pages/home.py", title="Home", icon=":material/home:", default=True)
datasets = st.Page("app_pages/datasets.py", title="Datasets", icon=":material/table_rows:")
verifiers = st.Page("app_pages/verifiers.py", title="Verifiers", icon=":material/fact_check:")
new_job = st.Page("app_pages/new_job.py", title="New job", icon=":material/add_circle:")
jobs = st.Page("app_pages/jobs.py", title="Jobs", icon=":material/list_alt:")
job = st.Page("app_pages/job.py", title="Job", icon=":material/show_chart:", visibility="hidden")
compare = st.Page("app_pages/compare.py", title="Compare", icon=":material/compare_arrows:")
models = st.Page("app_pages/models.py", title="Models", icon=":material/deployed_code:")
playground = st.Page("app_pages/playground.py", title="Playground", icon=":material/forum:")
settings = st.Page("app_pages/settings.py", title="Settings", icon=":material/settings:")

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
