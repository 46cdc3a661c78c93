"""Paging through a long list by row numbers: position, back, next."""

import streamlit as st


def first_of(key: str, *, total: int, size: int) -> int:
    """Return the number, from 0, of the first row shown."""
    first = int(st.session_state.get(key, 0))
    return first if 0 <= first < total else 0


def show(key: str, *, total: int, size: int, noun: str) -> None:
    """Show the position and the buttons; nothing if all rows fit on one page."""
    if total <= size:
        return
    first = first_of(key, total=total, size=size)
    last = min(total, first + size)
    with st.container(horizontal=True, vertical_alignment="center"):
        _turn("Back", ":material/chevron_left:", key, first - size, disabled=first == 0)
        _turn("Next", ":material/chevron_right:", key, first + size, disabled=last == total)
        st.caption(f"{noun}s {first:,} to {last - 1:,} of {total:,}, counted from 0".capitalize(), width="content")


def _turn(label: str, icon: str, key: str, to: int, *, disabled: bool) -> None:
    st.button(
        label,
        icon=icon,
        key=f"{key}_{label.lower()}",
        disabled=disabled,
        on_click=lambda: st.session_state.update({key: max(0, to)}),
    )
