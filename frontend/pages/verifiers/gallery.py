"""Verifiers to start from, as cards: what each is for, and what it says of an example."""

from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.components import rights
from frontend.words.markdown import plain
from frontend.words.rollouts import OUTCOMES, SUCCESS_ABOVE, right_is, verdict_on
from frontend.words.verifier_kinds import KINDS

ACROSS = 3
EXAMPLE_CHARACTERS = 160


def show(client: Client, starts: list[Json]) -> None:
    st.subheader("Start from a ready one", anchor=False)
    st.caption(
        "Each opens as a draft that you change to fit your rule; nothing is saved until you say so.",
        help=f"The badges are scores of examples. {right_is(SUCCESS_ABOVE)}",
    )
    for first in range(0, len(starts), ACROSS):
        for place, start in zip(st.columns(ACROSS), starts[first : first + ACROSS], strict=False):
            with place.container(border=True, height="stretch", key=f"start_{start['id']}"):
                _card(client, start)


def _card(client: Client, start: Json) -> None:
    kind = KINDS.get(start["grader"]["type"], start["grader"]["type"])
    badge = "" if kind == start["name"] else f" :gray-badge[{kind}]"
    st.markdown(f"**{plain(start['name'])}**{badge}")
    st.caption(plain(start["use"]))
    for example in telling(start["examples"]):
        text = plain(" ⏎ ".join(example["text"].split("\n"))[:EXAMPLE_CHARACTERS]) or "(nothing)"
        st.markdown(f":{color_of(example['score'])}-badge[{example['score']:g}] {text}")
    rights.link_within(
        client,
        "pages/verifiers/page.py",
        "Start from this",
        icon=":material/arrow_forward:",
        key=f"start_from_{start['id']}",
        verifier="new",
        start=start["id"],
    )


def telling(examples: Sequence[Json]) -> list[Json]:
    """The best and the worst of the examples, so that a card shows both what it lets pass and what it does not."""
    ordered = sorted(examples, key=lambda example: -float(example["score"]))
    return ordered[:1] + ordered[1:][-1:]


def color_of(score: float) -> str:
    return OUTCOMES[verdict_on(score, above=SUCCESS_ABOVE)].color
