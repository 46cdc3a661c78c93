"""The training curves of a job."""

import streamlit as st

from frontend.api.types import StepMetrics
from frontend.components import charts
from frontend.components.job_feed import JobFeed

ABOVE, BELOW = "better than its group", "worse than its group"
"""Labels by the sign of the advantage."""
COMPONENT = "component_"
"""What the metric of a component's mean begins with."""
CHART_PX = 280
PRACTISED = "Practice: right completions"
CURVES: dict[str, tuple[str, dict[str, str]]] = {
    "Completion length": ("tokens", {"completion_tokens_mean": "mean", "completion_tokens_max": "longest"}),
    "Truncated and empty completions": ("share", {"truncated": "truncated", "empty": "empty"}),
    "Penalty for length": ("score", {"overlong_penalty_mean": "mean"}),
    "Verifier errors": ("share", {"errored": "errors", "timed_out": "timeouts", "abstained": "abstained"}),
    "Completions without signal": (
        "share",
        {"skipped": "no signal", "unheard": "no teacher"},
    ),
    "Groups resampled": ("groups", {"groups_resampled": "groups"}),
    PRACTISED: (
        "share of completions",
        {"practice_right_before": "as asked", "practice_right": "with the hint"},
    ),
    "Practice: reward": ("score", {"practice_reward_mean": "with the hint"}),
    "Practice: groups": ("groups", {"practice_groups": "practised"}),
    "Practice: groups with signal": ("share", {"practice_mixed": "mixed"}),
    "Practice: leakage": (
        "share of completions",
        {"practice_leakage": "mention a hint", "practice_copied": "copy the hint"},
    ),
    "Entropy": ("nats per token", {"entropy": "entropy"}),
    "Distance to the base model": ("KL, nats per token", {"kl_to_start": "KL"}),
    "Penalised distance to the base model": ("KL, nats per token", {"kl": "KL"}),
    "Teacher evidence": ("mean log-ratio", {"delta_mean_positive": ABOVE, "delta_mean_negative": BELOW}),
    "Teacher evidence per completion": (
        "sum of log-ratios",
        {"delta_sum_right": "right", "delta_sum_wrong": "wrong"},
    ),
    "Teacher weights": ("mean weight", {"weight_mean_positive": ABOVE, "weight_mean_negative": BELOW}),
    "Weights at their bounds": ("share of tokens", {"clipped_low": "lowest", "clipped_high": "highest"}),
    "Hint against placebo": (
        "mean absolute log-ratio",
        {"hint_delta_abs_mean": "the row's own hint", "placebo_delta_abs_mean": "another row's"},
    ),
    "Leakage": ("share of completions", {"leakage": "leakage"}),
    "Gradient norm": ("norm", {"gradient_norm": "norm"}),
    "Clipped policy ratios": ("share of tokens", {"ratio_clipped": "clipped"}),
    "Sampling vs. training log-probabilities": ("mean difference", {"rollout_logp_gap_mean": "difference"}),
    "Time by part": (
        "seconds",
        {
            "rollout_s": "sampling",
            "reward_s": "verifying",
            "teacher_s": "teacher",
            "update_s": "update",
            "report_s": "diagnostics",
        },
    ),
}
"""Curves by name: unit, and labels by metric name."""


def curves(feed: JobFeed) -> None:
    if not feed.metrics:
        st.caption(feed.awaited("Curves", after="the first step"))
        return
    imitation = charts.imitated(feed.metrics)
    if imitation:
        st.subheader(
            "Imitation",
            anchor=False,
            help="Mean cross-entropy of the tokens of the texts that each step imitates: how surprised the model is by "
            "them.",
        )
        names = {"loss": "loss"}
        charts.metric_curves(imitation, names, unit="loss, nats per token", key="imitation_curve")
    if len(imitation) == len(feed.metrics):
        return
    left, right = st.columns(2)
    with left:
        st.subheader("Reward", anchor=False, help="Mean score of each step's completions; the line is a running mean.")
        charts.reward_curve(charts.reward_table(feed.metrics), key="reward_curve")
    with right:
        st.subheader("Groups", anchor=False, help="Only questions answered both right and wrong have a signal.")
        charts.group_shares(feed.metrics, key="group_shares")
    _components(feed.metrics)
    if PRACTISED in available(feed.metrics):
        st.subheader(
            "Practice",
            anchor=False,
            help="Failed questions, sampled once more with a hint in the prompt: the share of right completions before "
            "and with it. The curves above do not contain these completions.",
        )
        unit, series = CURVES[PRACTISED]
        charts.metric_curves(feed.metrics, series, unit=unit, key="practice_curve")


def _components(metrics: list[StepMetrics]) -> None:
    """Show the mean of each component of the verifier's score, in a chart of its own: their scales may differ."""
    names = component_names(metrics)
    if not names:
        return
    st.subheader("Components of the reward", anchor=False, help="Mean of each grader of the verifier, by step.")
    with st.grid(min_column_width=CHART_PX):
        for name in names:
            with st.container():
                label = name.removeprefix(COMPONENT)
                st.caption(label)
                charts.metric_curves(metrics, {name: label}, unit="mean score", key=f"curve_of_{name}")


def component_names(metrics: list[StepMetrics]) -> list[str]:
    """Return the metrics that are means of components, in the order of their names."""
    return sorted({name for step in metrics for name in step["values"] if name.startswith(COMPONENT)})


def further_curves(feed: JobFeed) -> None:
    there = available(feed.metrics)
    if not there:
        st.caption(feed.awaited("Curves", after="the first step"))
        return
    chosen = st.selectbox("Curve", there, key="curve")
    unit, series = CURVES[chosen]
    charts.metric_curves(feed.metrics, series, unit=unit, key=f"curve_{there.index(chosen)}")


def available(metrics: list[StepMetrics]) -> list[str]:
    """Return the curves with at least one point: some metrics come only every few steps, or only with a teacher."""
    known = {name for step in metrics for name, value in step["values"].items() if value is not None}
    return [name for name, (_, series) in CURVES.items() if known & set(series)]
