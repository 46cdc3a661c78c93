"""Playground: one question to two models (`?left=…&right=…`), answers side by side and scored."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import JobObject, ModelObject
from frontend.components import side_by_side
from frontend.components.choices import distinct_labels
from frontend.session import state
from frontend.widgets import problems
from frontend.words.models import is_trained, title_of

NO_MODEL = "nobody"
TITLES = {NO_MODEL: "– no second model –"}


def chooser(label: str, names: list[str], *, usual: str, place: str, help: str) -> str:
    """Show a menu of models, which also takes other names; the address contains the choice."""
    wanted = state.address(place)
    if wanted and wanted not in names:
        names = [*names, wanted]
    labels = distinct_labels({name: TITLES.get(name) or title_of(name) for name in names}, more=lambda name: name[-6:])
    return st.selectbox(
        label,
        names,
        index=names.index(wanted or usual),
        format_func=lambda name: labels(name) if name in names else name,
        accept_new_options=True,
        key=f"choose_{place}_{wanted or usual}",
        help=help,
    )


def job_of(client: Client, models: list[ModelObject], names: list[str]) -> JobObject | None:
    """Return the job of the first trained model among these."""
    made = {model["id"]: model["x_job"] for model in models}
    known = [job for name in names if (job := made.get(name)) is not None]
    return client.job(known[0]) if known else None


def page() -> None:
    client = state.client()
    st.title("Playground", anchor=False)
    st.write("Ask a base model and its trained version the same question, and let a verifier score both answers.")
    models = client.models()
    bases = [model["id"] for model in models if not is_trained(model)]
    trained = [model for model in models if is_trained(model)]
    names = [*bases, *(model["id"] for model in trained)]
    usual_left = str(trained[0]["x_base"]) if trained and trained[0]["x_base"] in names else names[0]
    usual_right = trained[0]["id"] if trained and state.address("left") is None else NO_MODEL
    left_place, right_place = st.columns(2)
    with left_place:
        left = chooser(
            "Left: base model",
            names,
            usual=usual_left,
            place="left",
            help="The model before training. You can also enter a Hugging Face id, if the server allows it.",
        )
    with right_place:
        right = chooser(
            "Right: trained model",
            [NO_MODEL, *names],
            usual=usual_right,
            place="right",
            help="An adapter. You can also enter the name of a checkpoint, such as `ft:…:ckpt-step-20`.",
        )
    shown = state.address("left") or usual_left, state.address("right") or usual_right
    st.query_params.update(left=left, right=right)  # from now on the page keeps them, whatever ends meanwhile
    if (left, right) != shown:
        st.rerun()  # the fields are named after the address: without this the next choice would be lost
    chosen = {title_of(left): left}
    if right not in (NO_MODEL, left):
        chosen[title_of(right) if title_of(right) not in chosen else right] = right
    if not trained:
        st.caption("Nothing has been trained yet, so there are only base models.")
    with problems.shown():
        side_by_side.panel(client, chosen, job=job_of(client, models, list(chosen.values())), key="playground")


if __name__ == "__main__":
    page()
