"""The learning of a job as pictures, and the verdict of the held-out questions."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend import charts, held_out, units
from frontend.feed import JobFeed
from frontend.shapes import Evaluation, Job, Metrics

ABOVE, BELOW = "better than its group", "worse than its group"
"""By the sign of the advantage."""
NOTHING_LEARNED = (
    "No completion of any step had a signal, mostly because all of a question scored the same: no update was made, and "
    "the adapter does nothing. Check the verifier, or use a model that gets some of the questions right."
)
CURVES: dict[str, tuple[str, dict[str, str]]] = {
    "Completion length": ("tokens", {"completion_tokens_mean": "mean", "completion_tokens_max": "longest"}),
    "Truncated and empty completions": ("share", {"truncated": "truncated", "empty": "empty"}),
    "Verifier faults": ("share", {"errored": "errors", "timed_out": "timeouts", "abstained": "abstained"}),
    "Completions without signal": (
        "share",
        {"skipped": "nothing to learn from", "unheard": "no word from the teacher"},
    ),
    "Groups resampled": ("groups", {"groups_resampled": "groups"}),
    "Entropy": ("nats a token", {"entropy": "entropy"}),
    "Distance to the base model": ("KL, nats a token", {"kl_to_start": "KL"}),
    "Teacher's evidence": ("mean log-ratio", {"delta_mean_positive": ABOVE, "delta_mean_negative": BELOW}),
    "Teacher's evidence of a completion": (
        "sum of log-ratios",
        {"delta_sum_right": "right", "delta_sum_wrong": "wrong"},
    ),
    "Teacher's weights": ("mean weight", {"weight_mean_positive": ABOVE, "weight_mean_negative": BELOW}),
    "Weights at their bounds": ("share of tokens", {"clipped_low": "lowest", "clipped_high": "highest"}),
    "Hint against placebo": (
        "how far it moves the teacher",
        {"hint_delta_abs_mean": "the row's own hint", "placebo_delta_abs_mean": "another row's"},
    ),
    "Leakage": ("share of completions", {"leakage": "leakage"}),
    "Gradient norm": ("norm", {"gradient_norm": "norm"}),
    "Clipped policy ratios": ("share of tokens", {"ratio_clipped": "clipped"}),
    "Sampling against training": ("mean difference of log-probabilities", {"rollout_logp_gap_mean": "difference"}),
    "Time by part": (
        "seconds",
        {
            "rollout_s": "writing",
            "reward_s": "verifying",
            "teacher_s": "teacher",
            "update_s": "update",
            "report_s": "diagnostics",
        },
    ),
}
"""By name: unit, and the metrics' names with their words."""


def verdict(evaluations: list[Evaluation], *, job: Job) -> None:
    """Did it get better? In words, then as intervals."""
    before, after = held_out.measured(evaluations, "baseline"), held_out.measured(evaluations, "trained")
    st.subheader("Held-out questions", anchor=False)
    judgement = held_out.judged(evaluations, job=job)
    if judgement == "nothing_learned":
        st.warning(NOTHING_LEARNED, title="Nothing was learned", icon=":material/block:")
    if before is None:
        st.caption("Questions kept out of training are answered before and after. The first figures come soon.")
        return
    left, right = st.columns(2)
    _score(left, "Before training", before)
    if after is None:
        right.metric("After training", "–", border=True, help="Measured when all steps are taken.", height="stretch")
    else:
        _score(right, "After training", after)
        _judged(after, judgement)
    charts.held_out(evaluations, key="held_out")


def _score(place: DeltaGenerator, label: str, found: Evaluation) -> None:
    difference = found["difference"]
    place.metric(
        label,
        f"{found['mean']:.3f}",
        delta=None if difference is None or difference["mean"] == 0 else f"{difference['mean']:+.3f}",
        border=True,
        height="stretch",
    )
    place.caption(
        f"95 % interval {found['low']:.3f} to {found['high']:.3f}; {units.count(found['n'], 'question')}, "
        f"{units.count(found['k'], 'completion')} each"
    )


def _judged(after: Evaluation, judgement: held_out.Judgement | None) -> None:
    difference, p = after["difference"], after["p_value"]
    if difference is None or judgement == "nothing_learned":
        return
    interval = f"95 % interval {difference['low']:+.3f} to {difference['high']:+.3f}"
    chance = "" if p is None else f", p {units.small_probability(p)}"
    said = f"The difference is {difference['mean']:+.3f} ({interval}{chance})."
    if judgement == "better":
        st.success(f"{said} Zero lies outside: training helped.", title="Better", icon=":material/trending_up:")
    elif judgement == "worse":
        st.error(f"{said} Zero lies outside: training did harm.", title="Worse", icon=":material/trending_down:")
    else:
        st.info(
            f"{said} Zero lies inside: no difference was shown. More held-out questions narrow the interval.",
            title="Undecided",
            icon=":material/help:",
        )


def curves(feed: JobFeed) -> None:
    if not feed.metrics:
        st.caption("Curves appear with the first step.")
        return
    left, right = st.columns(2)
    with left:
        st.subheader("Reward", anchor=False, help="Mean score of each step's completions; the line is a running mean.")
        charts.reward_curve(charts.reward_table(feed.metrics), key="reward_curve")
    with right:
        st.subheader("Groups", anchor=False, help="Only questions answered both right and wrong teach something.")
        charts.group_shares(feed.metrics, key="group_shares")


def further_curves(feed: JobFeed) -> None:
    there = available(feed.metrics)
    if not there:
        st.caption("Curves appear with the first step.")
        return
    chosen = st.selectbox("Curve", there, key="curve")
    unit, series = CURVES[chosen]
    charts.metric_curves(feed.metrics, series, unit=unit, key=f"curve_{there.index(chosen)}")


def available(metrics: list[Metrics]) -> list[str]:
    """Curves that have at least one point: some metrics come only every few steps, or only with a teacher."""
    known = {name for step in metrics for name, value in step["values"].items() if value is not None}
    return [name for name, (_, series) in CURVES.items() if known & set(series)]
