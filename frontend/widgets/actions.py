"""How a change is made on this page: carried out, told, or refused in its place; and how one confirms it first."""

from collections.abc import Callable

import streamlit as st

from frontend.api import ApiError
from frontend.widgets import problems

NOTE = "settings_done"
FORMS = "settings_forms"


def carry_out(act: Callable[[], object], *, done: str, failed: str, form: str | None = None) -> None:
    """Do it and draw the page anew, with `form` emptied; a refusal stays where it happened."""
    try:
        act()
    except ApiError as error:
        problems.show(error, title=failed)
        return
    st.session_state[NOTE] = done
    if form is not None:
        st.session_state.setdefault(FORMS, {})[form] = _filled(form) + 1
    st.rerun()


def announce() -> None:
    """Tell what the run before has done."""
    done = st.session_state.pop(NOTE, None)
    if done:
        st.toast(done, icon=":material/check_circle:")


def fresh(form: str) -> str:
    """A key for the form's fields that changes when it has been carried out, so that they are empty again."""
    return f"{form}_{_filled(form)}"


def confirmed(label: str, *, icon: str, warning: str, button: str, key: str) -> bool:
    """A button that first says what will happen; True in the run in which it is wanted."""
    with st.popover(label, icon=icon, type="tertiary", key=f"ask_{key}"):
        st.write(warning)
        return st.button(button, type="primary", icon=icon, key=f"do_{key}")


def _filled(form: str) -> int:
    return int(st.session_state.get(FORMS, {}).get(form, 0))
