"""An editable list whose parts each have a form."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st


def editable_list(
    given: Sequence[Any], *, key: str, draw: Callable[[Any, str, int], Any], new: Callable[[], Any], noun: str
) -> list[Any]:
    """Show the parts and return them as edited. `draw(part, key, place)` shows and returns one; `new()` creates one.

    The list is kept as long as Streamlit keeps the widgets; numbers of parts are not reused.
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
                    f"Remove this {noun}",
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
