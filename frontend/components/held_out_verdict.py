"""The verdict whether a model got better on the held-out rows, with its interval."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api.types import EvaluationObject, JobObject, Verdict
from frontend.components import charts
from frontend.words import held_out, units
from frontend.words.job_states import ENDED

NOTHING_LEARNED = (
    "No completion of any step had a signal, usually because all completions of a question scored the same. No update "
    "was made, so the adapter has no effect. Check the verifier, or use a model that gets some of the questions right."
)


def verdict(evaluations: list[EvaluationObject], *, job: JobObject) -> None:
    """Show whether the model got better, in words and as intervals."""
    before, after = held_out.measured(evaluations, "baseline"), held_out.measured(evaluations, "trained")
    warm = held_out.measured(evaluations, "warm")
    st.subheader("Held-out questions", anchor=False)
    found = held_out.verdict_of(job)
    if found == "nothing_learned":
        st.warning(NOTHING_LEARNED, title="Nothing was learned", icon=":material/block:")
    if before is None:
        st.caption(
            "The job ended before the model was measured."
            if job["status"] in ENDED
            else "The model answers questions that are not trained on, before and after training. The first scores "
            "appear soon."
        )
        return
    left, *middle, right = st.columns(2 if warm is None else 3)
    _score(left, "Before training", before, shown=False)
    if warm is not None:
        _score(middle[0], "After imitation", warm, shown=False)
    if after is None:
        right.metric("After training", "–", border=True, help="Measured after the last step.", height="stretch")
    else:
        _score(right, "After training", after, shown=found in ("better", "worse", "imitation_enough"))
        if (kept := held_out.kept_sentence(after)) is not None:
            st.caption(kept)
        _judged(after, found)
    sentence = held_out.beyond_imitation(evaluations)
    if sentence is not None:
        st.info(sentence, title="What training added to imitation", icon=":material/stairs:")
    charts.held_out(evaluations, key="held_out")


def _score(place: DeltaGenerator, label: str, found: EvaluationObject, *, shown: bool) -> None:
    """Show a score and its distance to the first; coloured, with an arrow, only if the difference was `shown`."""
    difference = found["difference"]
    place.metric(
        label,
        f"{found['mean']:.3f}",
        delta=None if difference is None or difference["mean"] == 0 else f"{difference['mean']:+.3f}",
        delta_color="normal" if shown else "off",
        delta_arrow="auto" if shown else "off",
        border=True,
        height="stretch",
    )
    place.caption(
        f"95 % interval {found['low']:.3f} to {found['high']:.3f}; {units.count(found['n'], 'question')}, "
        f"{units.count(found['k'], 'completion')} each"
    )
    if found["unscored"]:
        place.caption(
            f"{found['unscored']} of {found['completions']} completions had no score, because the verifier abstained "
            "or failed. They are left out."
        )


def _judged(after: EvaluationObject, found: Verdict | None) -> None:
    difference, p = after["difference"], after["p_value"]
    if difference is None or found is None or found == "nothing_learned":
        return
    interval = f"95 % interval {difference['low']:+.3f} to {difference['high']:+.3f}"
    chance = "" if p is None else f", p {units.small_probability(p)}"
    text = f"The difference is {difference['mean']:+.3f} ({interval}{chance})."
    look = held_out.VERDICTS[found]
    if found == "worse":
        st.error(f"{text} Training made the model worse.", title=look.label, icon=look.icon)
    elif found == "undecided":
        excluded = not difference["low"] <= 0 <= difference["high"]
        why = " So few answers differ that chance alone explains such an interval." if excluded else ""
        st.info(
            f"{text} No difference was shown.{why} More held-out questions narrow the interval.",
            title=look.label,
            icon=look.icon,
        )
    else:
        helped = " Training helped." if found == "better" else ""
        st.success(f"{text}{helped}", title=look.label, icon=look.icon)
