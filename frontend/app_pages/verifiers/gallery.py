"""Ready-made verifiers as cards: the use of each, and its scores of two examples."""

from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import ReadyMadeExample, ReadyMadeObject
from frontend.components import rights
from frontend.words.markdown import plain
from frontend.words.rollouts import OUTCOMES, SUCCESS_ABOVE, right_is, verdict_on
from frontend.words.verifier_kinds import KINDS

ACROSS = 3
EXAMPLE_CHARACTERS = 160


def show(client: Client, starts: list[ReadyMadeObject]) -> None:
    st.subheader("Start from a template", anchor=False)
    st.caption(
        "Each opens as a draft that you can adapt. Nothing is saved until you click “Save”.",
        help=f"The badges are scores of examples. {right_is(SUCCESS_ABOVE)}",
    )
    for first in range(0, len(starts), ACROSS):
        for place, start in zip(st.columns(ACROSS), starts[first : first + ACROSS], strict=False):
            with place.container(border=True, height="stretch", key=f"start_{start['id']}"):
                _card(client, start)


def _card(client: Client, start: ReadyMadeObject) -> None:
    kind = KINDS.get(start["grader"]["type"], start["grader"]["type"])
    badge = "" if kind == start["name"] else f" :gray-badge[{kind}]"
    st.markdown(f"**{plain(start['name'])}**{badge}")
    st.caption(plain(start["use"]))
    for example in best_and_worst(start["examples"]):
        text = plain(" ⏎ ".join(example["text"].split("\n"))[:EXAMPLE_CHARACTERS]) or "(nothing)"
        st.markdown(f":{color_of(example['score'])}-badge[{example['score']:g}] {text}")
    rights.link_within(
        client,
        "app_pages/verifiers/page.py",
        "Use this template",
        icon=":material/arrow_forward:",
        key=f"start_from_{start['id']}",
        verifier="new",
        start=start["id"],
    )


def best_and_worst(examples: Sequence[ReadyMadeExample]) -> list[ReadyMadeExample]:
    """Return the examples with the highest and the lowest score."""
    ordered = sorted(examples, key=lambda example: -float(example["score"]))
    return ordered[:1] + ordered[1:][-1:]


def color_of(score: float) -> str:
    return OUTCOMES[verdict_on(score, above=SUCCESS_ABOVE)].color
