"""One comparison, or jobs side by side: verdict, scores, curves, cost, what differs, its runs."""

import streamlit as st

from frontend.api import Client
from frontend.api.comparisons import ComparedRun
from frontend.api.types import Job
from frontend.components import side_by_side
from frontend.pages.compare import charts as compare_charts
from frontend.pages.compare import figures as comparing
from frontend.pages.compare.feed import ComparisonFeed
from frontend.words import units
from frontend.words.job_states import look
from frontend.words.markdown import plain

LOOKS = {
    "better": (st.success, ":material/trending_up:"),
    "worse": (st.warning, ":material/trending_down:"),
    "both": (st.info, ":material/swap_vert:"),
    "open": (st.info, ":material/help:"),
}
SO_FAR = "So far, from runs that are not at their end"
MEANING = """
- **Score**: the mean on held-out questions, before and after training, with its 95 % interval.
- **Difference**: to the way that all are compared with, question by question, in the unit of the score. Where 0 lies
  inside its interval, it may be chance.
- **p-value**: were there no difference at all, luck alone would show one as large as this in such a share of
  comparisons, counted for all ways together (Holm). It is not the chance that the difference is luck. Below 0.05 a
  difference counts as shown.
- **One of k answers right**: the chance that at least one of k answers to a question is right.
- **Device time, tokens**: of a run until it was compared, on average, measurements left out; the time is that of all
  its devices. Tokens count once for each pass through the model: writing, the teacher's reading, the update. A model's
  card counts those of the updates alone.
- **Cost of +0.01 score**: device time, and money where the server has a price, for each 0.01 gained over the base.
"""


def result(feed: ComparisonFeed) -> None:
    found = feed.result
    if feed.settled:
        title = comparing.title(found) if found["questions"] else "No verdict"
        say, icon = LOOKS[comparing.tone(found)]
    else:
        title = SO_FAR if found["questions"] else "No verdict yet"
        say, icon = st.info, ":material/hourglass_top:"
    say(found["verdict"], title=title, icon=icon)
    scores = comparing.score_table(found)
    left, right = st.columns(2)
    with left:
        st.subheader(
            "Held-out scores",
            anchor=False,
            help="Mean score on questions that were not trained on, faint before and full after training.",
        )
        if scores:
            compare_charts.scores(scores, order=feed.arms, key="scores")
        else:
            st.caption("They come with the first measurement.")
    with right:
        st.subheader(
            "Held-out curve",
            anchor=False,
            help="The line is the mean over seeds, the band reaches from the lowest to the highest seed; with one seed "
            "it is the 95 % interval over questions.",
        )
        held_out = comparing.held_out_table(found)
        if held_out:
            compare_charts.bands(
                held_out,
                order=feed.arms,
                unit="held-out score",
                key="held_out_curve",
                alt_text="Held-out score by step",
            )
        else:
            st.caption("It comes with the first measurement.")
    if not scores:
        return
    st.subheader("In figures", anchor=False)
    st.dataframe(comparing.figures(found), hide_index=True, alt="Scores, differences and cost of each way of training")
    if found["questions"]:
        on = units.count(found["questions"], "question")
        st.caption(f"All are compared with **{plain(feed.arms[0])}**, on {on}.")
    with st.expander("What these figures mean", icon=":material/help:"):
        st.markdown(MEANING)


def curves(feed: ComparisonFeed, client: Client) -> None:
    metric = st.selectbox(
        "Curve", list(comparing.METRICS), format_func=lambda name: comparing.METRICS[name][0], key="cmp_metric"
    )
    feed.show_metric(client, metric)
    title, unit = comparing.METRICS[metric]
    table = comparing.curve_table(feed.curves, names=feed.names)
    if not table:
        st.caption("There is nothing of this yet: it comes with steps, and some only every few of them.")
        return
    compare_charts.bands(table, order=feed.arms, unit=unit, key=f"curve_{metric}", alt_text=f"{title} by step")
    st.caption(
        "The line is the mean over the runs that have come so far, the band reaches from the lowest to the highest."
        if feed.comparison is not None
        else "One line a job."
    )


def differences(feed: ComparisonFeed, client: Client) -> None:
    """Of one run of each way: runs of one way differ by their seeds alone."""
    jobs = {arm: _job(client, feed.runs_of(arm)[0]["job"]) for arm in feed.arms if feed.runs_of(arm)}
    read = {file_id for job in jobs.values() for file_id in (job["training_file"], job["validation_file"]) if file_id}
    names = {file_id: _filename(client, file_id) for file_id in read}
    table = comparing.differing(jobs, names=names, apart=feed.comparison is None)
    if not table:
        st.info("They do not differ in any setting: only chance tells them apart.", icon=":material/drag_handle:")
        return
    st.caption("All other settings are the same in all of them.")
    st.dataframe(table, hide_index=True, alt="Settings that differ")


def _job(client: Client, job_id: str) -> Job:
    """Settings of a job do not change: read once."""
    kept: dict[str, Job] = st.session_state.setdefault("compared_jobs_kept", {})
    if job_id not in kept:
        kept[job_id] = client.job(job_id)
    return kept[job_id]


def _filename(client: Client, file_id: str) -> str:
    """The name of a job's dataset, which lives as long as the job: read once."""
    kept: dict[str, str] = st.session_state.setdefault("compared_files_kept", {})
    if file_id not in kept:
        kept[file_id] = client.file(file_id)["filename"]
    return kept[file_id]


def runs(feed: ComparisonFeed) -> None:
    for arm in feed.arms:
        with st.container(border=True):
            st.markdown(f"**{arm}**")
            with st.grid(min_column_width=230):
                for run in feed.runs_of(arm):
                    _run(run)


def _run(run: ComparedRun) -> None:
    state_now = look(run["status"])
    with st.container(gap=None):
        st.page_link(
            "pages/job/page.py",
            label=f"seed {run['seed']}: {state_now.label.lower()}",
            icon=state_now.icon,
            query_params={"job": run["job"]},
        )
        step, most = run["step"], run["max_steps"]
        st.progress(min(step / most, 1.0), text=f"step {step:,} of {most:,}")


def ask_each(feed: ComparisonFeed, client: Client) -> None:
    """The adapters of the first run of each way that has one, beside their base."""
    done = {arm: run for arm in feed.arms for run in feed.runs_of(arm)[::-1] if run["fine_tuned_model"]}
    if not done:
        st.info("There is nobody to ask yet: a run answers once it has ended.", icon=":material/hourglass_empty:")
        return
    job = _job(client, next(iter(done.values()))["job"])
    models = {"base": job["model"]}
    for arm, run in done.items():
        assert run["fine_tuned_model"] is not None
        models[f"{arm}, seed {run['seed']}" if feed.comparison else arm] = run["fine_tuned_model"]
    side_by_side.panel(client, models, job=job, key="ask_each")
