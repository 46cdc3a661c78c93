"""All jobs, the newest first."""

import streamlit as st

from frontend import state
from frontend.components import job_list, links, problems

PAGE = 20
REFRESH_S = 4.0

client, zone = state.client(), state.zone()


@st.fragment(run_every=REFRESH_S)
def listing() -> None:
    after = state.address("after")
    with problems.page_guard():
        page = client.jobs(after=after, limit=PAGE)
        jobs = page["data"]
        if not jobs:
            st.info("No job yet." if after is None else "No further jobs.", icon=":material/inbox:")
            st.page_link("app_pages/new_job.py", label="Start the first one", icon=":material/add_circle:")
            return
        job_list.rows(jobs, zone=zone)
        with st.container(horizontal=True):
            if after is not None:
                links.within("app_pages/jobs.py", "Newest", icon=":material/first_page:", key="newest")
            if page["has_more"]:
                older = jobs[-1]["id"]
                links.within("app_pages/jobs.py", "Older", icon=":material/chevron_right:", key="older", after=older)


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Jobs", anchor=False, width="stretch")
    if st.button("New job", type="primary", icon=":material/add:"):
        st.switch_page("app_pages/new_job.py")
listing()
