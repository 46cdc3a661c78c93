"""Changes on a page: carried out and announced, or refused in place; and their confirmation."""

from collections.abc import Callable

import streamlit as st

from frontend.api import ApiError
from frontend.widgets import problems

NOTE = "settings_done"
FORMS = "settings_forms"


def carry_out(action: Callable[[], object], *, done: str, failed: str, form: str | None = None) -> None:
    """Run `action`, clear `form` and rerun the page; show an error in place."""
    try:
        action()
    except ApiError as error:
        problems.show(error, title=failed)
        return
    st.session_state[NOTE] = done
    if form is not None:
        st.session_state.setdefault(FORMS, {})[form] = _submissions(form) + 1
    st.rerun()


def announce() -> None:
    """Show a notice of what the previous run has done."""
    done = st.session_state.pop(NOTE, None)
    if done:
        st.toast(done, icon=":material/check_circle:")


def form_key(form: str) -> str:
    """Return a key prefix for the form's fields that changes with each submission, which empties them."""
    return f"{form}_{_submissions(form)}"


def confirmed(label: str, *, icon: str, warning: str, button: str, key: str) -> bool:
    """Show a button that asks for confirmation. True in the run in which it is confirmed."""
    with st.popover(label, icon=icon, type="tertiary", key=f"ask_{key}"):
        st.write(warning)
        return st.button(button, type="primary", icon=icon, key=f"do_{key}")


def _submissions(form: str) -> int:
    return int(st.session_state.get(FORMS, {}).get(form, 0))
