"""A list of parts, each with a form of its own, to which one adds and from which one takes away."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st


def growing(
    given: Sequence[Any], *, key: str, draw: Callable[[Any, str, int], Any], new: Callable[[], Any], noun: str
) -> list[Any]:
    """The parts as edited. `draw(part, key, place)` shows one and returns it; `new()` is what an added one begins with.

    Which parts there are is kept as long as Streamlit keeps the widgets; numbers of parts are not used again.
    """
    kept, add = f"{key}_parts", f"{key}_add"
    if kept not in st.session_state or add not in st.session_state:
        st.session_state[kept] = dict(enumerate(given))
    parts: dict[int, Any] = st.session_state[kept]
    edited = []
    for place, (number, part) in enumerate(list(parts.items())):
        with st.container(border=True):
            edited.append(draw(part, f"{key}_{number}", place))
            if len(parts) > 1:
                st.button(
                    f"Take this {noun} away",
                    icon=":material/delete:",
                    type="tertiary",
                    key=f"{key}_{number}_gone",
                    on_click=parts.pop,
                    args=(number,),
                )
    st.button(
        f"Add a {noun}",
        icon=":material/add:",
        key=add,
        on_click=lambda: parts.update({max(parts, default=-1) + 1: new()}),
    )
    return edited
