"""Say whether a model got better on the held-out rows, with its interval."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api.types import Evaluation, Job
from frontend.components import charts
from frontend.words import held_out, units

NOTHING_LEARNED = (
    "No completion of any step had a signal, mostly because all of a question scored the same: no update was made, and "
    "the adapter does nothing. Check the verifier, or use a model that gets some of the questions right."
)


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
