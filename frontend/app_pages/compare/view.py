"""The tabs of a comparison or of chosen jobs: verdict, scores, curves, cost, differences, runs."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import JobObject, RunObject
from frontend.app_pages.compare import charts as compare_charts
from frontend.app_pages.compare import figures as comparing
from frontend.app_pages.compare.feed import ComparisonFeed
from frontend.components import side_by_side, verdict_chip
from frontend.words import units
from frontend.words.job_states import look
from frontend.words.markdown import plain

LOOKS = {
    "better": (st.success, ":material/trending_up:"),
    "worse": (st.warning, ":material/trending_down:"),
    "both": (st.info, ":material/swap_vert:"),
    "open": (st.info, ":material/help:"),
}
SO_FAR = "Preliminary, from runs that have not ended"
MEANING = """
- **Score**: the mean on held-out questions, before and after training, with its 95 % interval.
- **Difference**: to the baseline, question by question, in the unit of the score. It counts as
  shown if its interval excludes 0 and its p-value is below 0.05.
- **p-value**: if there were no difference, chance alone would produce one this large in this share of comparisons,
  corrected for the number of methods (Holm). It is not the probability that the difference is chance.
- **Pass@k**: the probability that at least one of k answers to a question is right.
- **Answers without a score**: completions on which the verifier abstained or failed. They are left out of every score.
- **Device time, tokens**: the average per run up to the compared step, without evaluations; the time is summed over
  devices. Tokens count once per pass through the model: sampling, the teacher's pass, the update. A model's card counts
  only those of the updates.
- **Cost of +0.01 score**: device time, and money if the server has a price, for each 0.01 gained over the base model.
  A dash if no gain was shown.
"""


def result(feed: ComparisonFeed) -> None:
    found = feed.result
    if feed.settled:
        title = comparing.title(found) if found["questions"] else "No verdict"
        banner, icon = LOOKS[comparing.tone(found)]
    else:
        title = SO_FAR if found["questions"] else "No verdict yet"
        banner, icon = st.info, ":material/hourglass_top:"
    banner(plain(found["verdict"]), title=title, icon=icon)
    with st.container(horizontal=True):
        for arm in found["arms"]:
            verdict_chip.chip(arm["outcome"], about=plain(arm["name"]))
    scores = comparing.score_table(found)
    left, right = st.columns(2)
    with left:
        st.subheader(
            "Held-out scores",
            anchor=False,
            help="Mean score on held-out questions: pale before training, solid after.",
        )
        if scores:
            compare_charts.scores(scores, order=feed.arms, key="scores")
        else:
            st.caption("Scores appear after the first evaluation.")
    with right:
        st.subheader(
            "Held-out curve",
            anchor=False,
            help="The line is the mean over seeds, the band the range from the lowest to the highest seed. With one "
            "seed, the band is the 95 % interval over questions.",
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
            st.caption("The curve appears after the first evaluation.")
    if not scores:
        return
    st.subheader("Details", anchor=False)
    st.dataframe(comparing.figures(found), hide_index=True, alt="Scores, differences and cost of each method")
    if found["questions"]:
        on = units.count(found["questions"], "question")
        st.caption(f"Baseline: **{plain(feed.arms[0])}**. Compared on {on}.")
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
        st.caption("There is no data for this curve yet. Some metrics are measured only every few steps.")
        return
    compare_charts.bands(table, order=feed.arms, unit=unit, key=f"curve_{metric}", alt_text=f"{title} by step")
    st.caption(
        "The line is the mean over the runs that have reached the step, the band the range from the lowest to the "
        "highest."
        if feed.comparison is not None
        else "One line per job."
    )


def differences(feed: ComparisonFeed, client: Client) -> None:
    """Show the settings that differ, from one run per arm: runs of an arm differ only in their seeds."""
    jobs = {arm: _job(client, feed.runs_of(arm)[0]["job"]) for arm in feed.arms if feed.runs_of(arm)}
    read = {file_id for job in jobs.values() for file_id in (job["training_file"], job["validation_file"]) if file_id}
    names = {file_id: _filename(client, file_id) for file_id in read}
    table = comparing.differing(jobs, names=names, with_seeds=feed.comparison is None)
    if not table:
        st.info("All settings are the same: the runs differ only by chance.", icon=":material/drag_handle:")
        return
    st.caption("All other settings are the same.")
    st.dataframe(table, hide_index=True, alt="Settings that differ")


def _job(client: Client, job_id: str) -> JobObject:
    """Return a job, read once, since its settings do not change."""
    kept: dict[str, JobObject] = st.session_state.setdefault("compared_jobs_kept", {})
    if job_id not in kept:
        kept[job_id] = client.job(job_id)
    return kept[job_id]


def _filename(client: Client, file_id: str) -> str:
    """Return a dataset's name, read once; a dataset exists as long as its job."""
    kept: dict[str, str] = st.session_state.setdefault("compared_files_kept", {})
    if file_id not in kept:
        kept[file_id] = client.file(file_id)["filename"]
    return kept[file_id]


def runs(feed: ComparisonFeed) -> None:
    for arm in feed.arms:
        with st.container(border=True):
            st.markdown(f"**{plain(arm)}**")
            with st.grid(min_column_width=230):
                for run in feed.runs_of(arm):
                    _run(run)


def _run(run: RunObject) -> None:
    state_now = look(run["status"])
    with st.container(gap=None):
        st.page_link(
            "app_pages/job/page.py",
            label=f"seed {run['seed']}: {state_now.label.lower()}",
            icon=state_now.icon,
            query_params={"job": run["job"]},
        )
        step, most = run["step"], run["max_steps"]
        st.progress(units.share(step, most), text=f"step {step:,} of {most:,}")


def try_models(feed: ComparisonFeed, client: Client) -> None:
    """Show a chat with the base model and, for each arm, the adapter of its first run that has one."""
    done = {arm: run for arm in feed.arms for run in feed.runs_of(arm)[::-1] if run["fine_tuned_model"]}
    if not done:
        st.info("There is no adapter to try yet: a run has one once it has ended.", icon=":material/hourglass_empty:")
        return
    job = _job(client, next(iter(done.values()))["job"])
    models = {"base": job["model"]}
    for arm, run in done.items():
        assert run["fine_tuned_model"] is not None
        models[f"{arm}, seed {run['seed']}" if feed.comparison else arm] = run["fine_tuned_model"]
    side_by_side.panel(client, models, job=job, key="ask_each")
