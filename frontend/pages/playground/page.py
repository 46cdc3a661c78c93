"""Playground: the same question to two models (`?left=…&right=…`), their answers side by side and scored."""

import streamlit as st

from frontend.api.types import Job, Json
from frontend.components import side_by_side
from frontend.components.choices import told_apart
from frontend.session import state
from frontend.widgets import problems
from frontend.words.models import is_trained, title_of

client = state.client()
NOBODY = "nobody"
TITLES = {NOBODY: "– no second model –"}


def chooser(label: str, names: list[str], *, usual: str, place: str, help: str) -> str:
    """A model of the list, or any other by its name; the address says which."""
    wanted = state.address(place)
    if wanted and wanted not in names:
        names = [*names, wanted]
    labels = told_apart({name: TITLES.get(name) or title_of(name) for name in names}, more=lambda name: name[-6:])
    return st.selectbox(
        label,
        names,
        index=names.index(wanted or usual),
        format_func=lambda name: labels(name) if name in names else name,
        accept_new_options=True,
        key=f"choose_{place}_{wanted or usual}",
        help=help,
    )


def job_of(models: list[Json], names: list[str]) -> Job | None:
    """The job that trained the first of these that was trained."""
    made = {model["id"]: model["x_job"] for model in models if is_trained(model)}
    known = [made[name] for name in names if name in made]
    return client.job(known[0]) if known else None


st.title("Playground", anchor=False)
st.write("Ask a base model and what was trained of it the same question, and see what a verifier makes of the answers.")
models = client.models()
bases = [model["id"] for model in models if not is_trained(model)]
trained = [model for model in models if is_trained(model)]
names = [*bases, *(model["id"] for model in trained)]
usual_left = str(trained[0]["x_base"]) if trained and trained[0]["x_base"] in names else names[0]
usual_right = trained[0]["id"] if trained and state.address("left") is None else NOBODY
left_place, right_place = st.columns(2)
with left_place:
    left = chooser(
        "Left: the base",
        names,
        usual=usual_left,
        place="left",
        help="What answered before training. A Hugging Face id can be written too, where the server allows it.",
    )
with right_place:
    right = chooser(
        "Right: the trained one",
        [NOBODY, *names],
        usual=usual_right,
        place="right",
        help="An adapter; a checkpoint by its name, such as `ft:…:ckpt-step-20`, can be written too.",
    )
if (left, right) != (state.address("left") or usual_left, state.address("right") or usual_right):
    st.query_params.update(left=left, right=right)  # both: what is usual on one side hangs on the address of the other
    st.rerun()  # the fields are named after the address: without this the next choice would be lost
asked = {title_of(left): left}
if right not in (NOBODY, left):
    asked[title_of(right) if title_of(right) not in asked else right] = right
if not trained:
    st.caption("Nothing has been trained yet, so there is only a base to ask.")
with problems.shown():
    side_by_side.panel(client, asked, job=job_of(models, list(asked.values())), key="playground")
